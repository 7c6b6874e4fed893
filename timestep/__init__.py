"""Durable OpenAI Agents runs that cross languages."""
