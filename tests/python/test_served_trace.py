"""An agent's requests over HTTP: the server's prompt cache finds what the scheduler's finds."""

from bench.serving import agent_trace


def test_every_kind_of_turn_finds_as_much_over_http_as_without(lazyfill, smollm2):
    args = agent_trace.parse(["--lazyfill", str(lazyfill), "-m", str(smollm2), "--turns", "1", "--tools", "3", "--example", "0"])
    lines, by_way = agent_trace.replay(args)
    assert sum(cached for _, cached in by_way["run"]) > 0
    for form in agent_trace.FORMS:
        assert dict(zip((str(line["id"]) for line in lines), by_way[form])) == dict(zip((str(line["id"]) for line in lines), by_way["run"]))
