"""Models by name, from a server that answers as the hub does."""

import json
import os
import pathlib
import subprocess

import pytest

from hub import Hub
from reference import zoo

NAME = "owner/repo"
BIG = b"GGUF" + bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def start_hub():
    hubs = []

    def start(files, **options):
        hubs.append(Hub(files, **options))
        return hubs[-1]

    yield start
    for hub in hubs:
        hub.close()


@pytest.fixture
def run(lazyfill, tmp_path):
    def call(hub, *args, **variables):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()}
        environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache")} | variables
        if hub is not None:
            environment["HF_ENDPOINT"] = hub if isinstance(hub, str) else hub.address
        return subprocess.run([lazyfill, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, env=environment)

    probe = call(None, "pull", NAME, HF_HUB_OFFLINE="1")
    if "for want of libcurl" in probe.stderr:
        pytest.skip("this build has no libcurl")
    return call


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "lazyfill" / "models" / "owner" / "repo"


def failed(done, *words):
    assert done.returncode == 1 and done.stdout == "", (done.stdout, done.stderr)
    sentences = [line for line in done.stderr.splitlines() if line.startswith("lazyfill pull:")]
    assert len(sentences) == 1
    for word in words:
        assert word in sentences[0]
    return True


def pulled(done, content):
    assert done.returncode == 0, done.stderr
    path = pathlib.Path(done.stdout.strip())
    assert path.read_bytes() == content
    assert [entry for entry in path.parent.iterdir() if entry.name.endswith(".incomplete")] == []
    return path


def test_a_model_is_fetched_once(start_hub, run, folder):
    hub = start_hub({"m-Q4_K_M.gguf": BIG, "m-Q8_0.gguf": BIG + b"8", "README.md": b"text"})
    assert pulled(run(hub, "pull", NAME), BIG) == folder / "m-Q4_K_M.gguf"
    pulled(run(hub, "pull", NAME + ":q8_0"), BIG + b"8")
    assert len(hub.content_requests()) == 2
    pulled(run(hub, "pull", "hf:" + NAME), BIG)
    assert len(hub.content_requests()) == 2


def test_what_changed_on_the_hub_is_fetched_again(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    pulled(run(hub, "pull", NAME), BIG)
    hub.files["m.gguf"] = BIG[::-1]
    pulled(run(hub, "pull", NAME), BIG[::-1])


def test_a_split_model_has_all_its_parts(start_hub, run, folder):
    parts = {f"Q8_0/m-0000{i}-of-00003.gguf": BIG + bytes([i]) for i in (3, 1, 2)}
    pulled(run(start_hub(parts), "pull", NAME + ":Q8_0"), BIG + b"\1")
    assert {path: (folder / path).read_bytes() for path in parts} == parts


def test_a_long_list_has_pages(start_hub, run):
    hub = start_hub({f"m-{i}.gguf": b"GGUF" for i in range(5)} | {"z-Q8_0.gguf": BIG})
    hub.page_size = 2
    pulled(run(hub, "pull", NAME + ":Q8_0"), BIG)


@pytest.mark.parametrize("n_bytes", [0, 1, 300_000])
def test_a_cut_connection_goes_on(start_hub, run, n_bytes):
    hub = start_hub({"m.gguf": BIG})
    hub.faults = [("cut", n_bytes), ("cut", 0)]
    pulled(run(hub, "pull", NAME), BIG)
    ranges = [headers.get("Range") for _, headers in hub.content_requests()]
    assert ranges == [None] + [f"bytes={n_bytes}-" if n_bytes else None] * 2


def test_an_interrupted_fetch_goes_on_in_the_next(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    hub.faults = [("cut", 500_000), 404]
    assert failed(run(hub, "pull", NAME), "has no owner/repo, or not this file")
    pulled(run(hub, "pull", NAME), BIG)
    assert hub.content_requests()[-1][1]["Range"] == "bytes=500000-"


@pytest.mark.parametrize("fault", ["no ranges", 416])
def test_a_server_without_ranges_begins_anew(start_hub, run, fault):
    hub = start_hub({"m.gguf": BIG})
    hub.faults = [("cut", 500_000), fault]
    pulled(run(hub, "pull", NAME), BIG)


def test_what_was_left_of_another_content_is_not_gone_on_with(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    hub.faults = [("cut", 500_000), 404]
    run(hub, "pull", NAME)
    hub.files["m.gguf"] = BIG[::-1]
    done = run(hub, "pull", NAME)
    assert done.returncode == 0 and pathlib.Path(done.stdout.strip()).read_bytes() == BIG[::-1]


def test_a_wrong_checksum_leaves_nothing(start_hub, run, folder):
    hub = start_hub({"m.gguf": BIG})
    hub.sha256["m.gguf"] = "0" * 64
    assert failed(run(hub, "pull", NAME), "has not the SHA-256 that the hub states")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("sha256", ["", "../../../../evil", "A" * 64])
def test_without_a_checksum_nothing_is_fetched(start_hub, run, sha256):
    hub = start_hub({"m.gguf": BIG})
    hub.sha256["m.gguf"] = sha256
    assert failed(run(hub, "pull", NAME), "states no SHA-256")
    assert hub.content_requests() == []


def test_more_than_was_stated_is_not_written(start_hub, run, folder):
    hub = start_hub({"m.gguf": BIG})
    hub.faults = ["too long"]
    assert failed(run(hub, "pull", NAME), "sends more than")
    assert not (folder / "m.gguf").exists()
    assert all(path.stat().st_size <= len(BIG) for path in folder.iterdir())


@pytest.mark.parametrize("size", [0, 2**63, 2**64 - 1, -1, "many", 1e300])
def test_sizes_that_cannot_be(start_hub, run, size):
    hub = start_hub({"m.gguf": BIG})
    hub.sizes["m.gguf"] = size
    assert failed(run(hub, "pull", NAME), "which cannot be")


def test_a_full_disk_is_known_before(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    hub.sizes["m.gguf"] = 2**41
    assert failed(run(hub, "pull", NAME), "has room for", "XDG_CACHE_HOME")
    assert hub.content_requests() == []


@pytest.mark.parametrize("path", ["../../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", ".hidden.gguf", "a\\..\\evil.gguf", "e\nvil.gguf"])
def test_paths_that_lead_elsewhere(start_hub, run, tmp_path, path):
    hub = start_hub({})
    hub.paths = [path]
    assert failed(run(hub, "pull", NAME), "no whole model")
    assert list(tmp_path.rglob("*evil*")) == [] and list(tmp_path.rglob("*hidden*")) == []


@pytest.mark.parametrize("name", ["../x", "owner", "owner/repo/more", "owner/repo:../x.gguf", "owner/..", "owner/repo?x=1"])
def test_names_that_are_none(run, name):
    done = run("http://127.0.0.1:9", "pull", name)
    assert done.returncode == 2 and "lazyfill pull: " in done.stderr


@pytest.mark.parametrize("status, words", [(401, "set HF_TOKEN if it is private"), (403, "accept its terms"), (404, "check the name"),
                                           (429, "wait some minutes"), (500, "a fault of its own"), (418, "does not know")])
def test_one_sentence_for_each_refusal(start_hub, run, status, words):
    hub = start_hub({"m.gguf": BIG})
    hub.list_faults = [status] * 9
    assert failed(run(hub, "pull", NAME), words)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_for(start_hub, run, status):
    hub = start_hub({"m.gguf": BIG})
    hub.list_faults = [status]
    hub.faults = [status]
    pulled(run(hub, "pull", NAME), BIG)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[1, [], null]", b"[" * 100_000, b'[{"type": "file"}]'])
def test_a_server_that_is_no_hub(start_hub, run, body):
    hub = start_hub({})
    hub.list_faults = [(200, body)]
    done = run(hub, "pull", NAME)
    assert failed(done) and ("check HF_ENDPOINT" in done.stderr or "no whole model" in done.stderr)


def test_nobody_answers(run):
    assert failed(run("http://127.0.0.1:9", "pull", NAME), "check the network")


@pytest.mark.parametrize("endpoint", ["file:///etc", "ftp://x", "hub", "http://a b"])
def test_endpoints_that_are_none(run, endpoint):
    assert failed(run(endpoint, "pull", NAME), "HF_ENDPOINT is")


def test_a_token_goes_to_the_hub_alone(start_hub, run):
    elsewhere = start_hub({"m.gguf": BIG})
    hub = start_hub({"m.gguf": BIG})
    hub.redirect_to = elsewhere.address + "/cdn/"
    hub.needs_token = "hf_secret"
    assert failed(run(hub, "pull", NAME), "set HF_TOKEN")
    assert failed(run(hub, "pull", NAME, HF_TOKEN="hf_wrong"), "does not accept the token")
    pulled(run(hub, "pull", NAME, HF_TOKEN="hf_secret"), BIG)
    assert [headers["Authorization"] for _, headers in hub.requests[-2:]] == ["Bearer hf_secret"] * 2
    assert len(elsewhere.requests) == 1 and "Authorization" not in elsewhere.requests[0][1]


def test_a_token_is_one_word(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    done = run(hub, "pull", NAME, HF_TOKEN="a\r\nX-Evil: 1")
    assert failed(done, "HF_TOKEN has blanks") and "Evil" not in done.stderr and hub.requests == []


@pytest.mark.parametrize("place", ["HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_the_token_of_whoever_logged_in_is_found(start_hub, run, tmp_path, place):
    hub = start_hub({"m.gguf": BIG})
    hub.needs_token = "hf_secret"
    file = {"HF_TOKEN_PATH": tmp_path / "secret", "HF_HOME": tmp_path / "hf" / "token", "XDG_CACHE_HOME": tmp_path / "xdg" / "huggingface" / "token",
            "HOME": tmp_path / "home" / ".cache" / "huggingface" / "token"}[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(" hf_secret \n", encoding="utf-8")
    value = {"HF_TOKEN_PATH": file, "HF_HOME": file.parent, "XDG_CACHE_HOME": tmp_path / "xdg", "HOME": tmp_path / "home"}[place]
    variables = {"XDG_CACHE_HOME": "", place: str(value), "LAZYFILL_MODELS": ""} if place == "HOME" else {place: str(value)}
    pulled(run(hub, "pull", NAME, **variables), BIG)
    assert failed(run(hub, "pull", NAME + ":Q8_0", **variables, HF_TOKEN="hf_wrong"), "does not accept the token in HF_TOKEN")
    assert failed(run(hub, "pull", NAME, **variables, HF_HUB_DISABLE_IMPLICIT_TOKEN="1"), "to strangers")
    file.write_text("hf_old", encoding="utf-8")
    assert failed(run(hub, "pull", NAME, **variables), "does not accept the token in " + str(file))
    file.write_text("two words", encoding="utf-8")
    assert failed(run(hub, "pull", NAME, **variables), str(file) + " has blanks")


@pytest.mark.parametrize("status", [401, 403])
def test_a_model_with_terms_says_where_to_accept_them(start_hub, run, status):
    hub = start_hub({"m.gguf": BIG})
    hub.list_faults = [(status, b"{}", {"X-Error-Code": "GatedRepo"})] * 2
    assert failed(run(hub, "pull", NAME), "accept its terms", f"{hub.address}/{NAME}", "set HF_TOKEN")
    assert failed(run(hub, "pull", NAME, HF_TOKEN="hf_secret"), "accept its terms", "the account whose token is in HF_TOKEN")


def test_an_address_that_expired_is_asked_for_again(start_hub, run):
    elsewhere = start_hub({"m.gguf": BIG})
    hub = start_hub({"m.gguf": BIG})
    hub.redirect_to = elsewhere.address + "/cdn/"
    elsewhere.faults = [403]
    pulled(run(hub, "pull", NAME), BIG)
    assert len(hub.content_requests()) == len(elsewhere.requests) == 2


def test_a_storage_that_refuses_is_not_the_hub(start_hub, run):
    elsewhere = start_hub({"m.gguf": BIG})
    hub = start_hub({"m.gguf": BIG})
    hub.redirect_to = elsewhere.address + "/cdn/"
    elsewhere.faults = [403] * 10
    assert failed(run(hub, "pull", NAME), "the storage that", "goes on where this one ended")


@pytest.mark.parametrize("value, is_offline", [("1", True), ("on", True), ("TRUE", True), ("yes", True), ("0", False), ("false", False), ("", False)])
def test_offline_is_what_the_hubs_own_library_takes_for_it(start_hub, run, value, is_offline):
    hub = start_hub({"m.gguf": BIG})
    done = run(hub, "pull", NAME, HF_HUB_OFFLINE=value)
    assert (done.returncode != 0) == is_offline and (hub.requests == []) == is_offline


@pytest.mark.parametrize("target", ["file:///etc/passwd?", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
def test_redirections_elsewhere_are_not_followed(start_hub, run, target):
    hub = start_hub({"m.gguf": BIG})
    hub.redirect_to = target
    assert failed(run(hub, "pull", NAME), "not safe to follow")


def test_a_circle_ends(start_hub, run):
    hub = start_hub({"m.gguf": BIG})
    hub.redirect_to = f"{hub.address}/{NAME}/resolve/main/"
    assert failed(run(hub, "pull", NAME), "in a circle")


def test_through_a_proxy(start_hub, run):
    proxy = start_hub({"m.gguf": BIG})
    pulled(run("http://hub.invalid", "pull", NAME, http_proxy=proxy.address), BIG)
    assert proxy.requests[0][0].startswith("http://hub.invalid/api/models/owner/repo/")


def test_a_model_by_name_needs_the_network_once(start_hub, run, tmp_path):
    zoo.write(tmp_path / "tiny.gguf", "qwen3")
    hub = start_hub({"tiny-F32.gguf": (tmp_path / "tiny.gguf").read_bytes()})
    first = run(hub, "inspect", "-m", "hf:" + NAME, "--json")
    assert first.returncode == 0, first.stderr
    n_requests = len(hub.requests)
    second = run(hub, "inspect", "hf:" + NAME + ":F32", "--json", HF_HUB_OFFLINE="1")
    assert json.loads(first.stdout) == json.loads(second.stdout) and len(hub.requests) == n_requests
    offline = run(hub, "pull", NAME + ":Q8_0", HF_HUB_OFFLINE="1")
    assert failed(offline, "HF_HUB_OFFLINE") and len(hub.requests) == n_requests


def test_models_lists_what_is_there(start_hub, run, tmp_path, folder):
    assert "No models in" in run(None, "models").stdout
    zoo.write(tmp_path / "tiny.gguf", "qwen3")
    content = (tmp_path / "tiny.gguf").read_bytes()
    hub = start_hub({"tiny-F32.gguf": content, "bad-Q8_0.gguf": BIG})
    for quant in ("F32", "Q8_0"):
        assert run(hub, "pull", f"{NAME}:{quant}").returncode == 0
    listed = json.loads(run(None, "models", "--json").stdout)["models"]
    assert [(model["name"], model["bytes"], "error" in model) for model in listed] == [
        (f"hf:{NAME}:bad-Q8_0.gguf", len(BIG), True), (f"hf:{NAME}:tiny-F32.gguf", len(content), False)]
    assert run(None, "inspect", "-m", listed[1]["name"]).returncode == 0
    assert f"hf:{NAME}:tiny-F32.gguf" in run(None, "models").stdout
