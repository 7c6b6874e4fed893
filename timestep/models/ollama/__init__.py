"""Models served by Ollama, over its native chat API."""
