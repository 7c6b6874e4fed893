from agents.usage import Usage, deserialize_usage, serialize_usage

from tests.state.build import usage as portable_usage
from timestep.state import usage


def test_details_of_several_responses_are_added_up() -> None:
    native = {
        "requests": 2,
        "input_tokens": 20,
        "output_tokens": 10,
        "total_tokens": 30,
        "input_tokens_details": [
            {"cached_tokens": 4, "cache_write_tokens_details": None},
            {"cached_tokens": 3, "audio_tokens": 1},
        ],
        "output_tokens_details": {"reasoning_tokens": 2},
        "request_usage_entries": [{"input_tokens": 10, "input_tokens_details": {}}],
    }
    found = usage.to_portable(native)
    assert found["input_tokens_details"] == {"cached_tokens": 7, "audio_tokens": 1}
    assert found["output_tokens_details"] == {"reasoning_tokens": 2}
    assert found["entries"][0]["input_tokens"] == 10
    assert found["entries"][0]["output_tokens"] == 0


def test_what_is_missing_or_wrong_counts_as_zero() -> None:
    assert usage.to_portable(None) == portable_usage()
    assert usage.to_portable({"requests": True, "input_tokens": "x"}) == portable_usage()


def test_the_sdk_reads_back_what_is_written() -> None:
    counts = portable_usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
    counts["input_tokens_details"] = {"cached_tokens": 4, "cache_write_tokens": 1}
    counts["output_tokens_details"] = {"reasoning_tokens": 2}
    written = usage.to_python(counts)
    read = deserialize_usage(written)
    assert read.input_tokens_details.cached_tokens == 4
    assert read.output_tokens_details.reasoning_tokens == 2
    assert usage.to_portable(serialize_usage(read)) == counts


def test_empty_usage_is_written_as_the_sdk_writes_it() -> None:
    details = {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage.to_portable(serialize_usage(Usage()))["input_tokens_details"] == details
    assert usage.to_python(portable_usage()) == serialize_usage(Usage())
