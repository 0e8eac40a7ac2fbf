"""A mode's app as a client sees it: names, types and defaults, streams, cancel, errors and MCP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from common.errors import GpuError
from common.modes.all import MODES
from tests.common.fakes import FakeService, space_of


class Running:
    """A Space on loopback and the service behind it."""

    def __init__(self, mode: str, folder: Path) -> None:
        self.service = FakeService(MODES[mode], folder)  # type: ignore[index]
        self.blocks = space_of(self.service)
        self.blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
        self.url = self.blocks.local_url
        self.client = self.connect()

    def connect(self) -> Client:
        return Client(self.url, verbose=False, token=False, ssl_verify=False)


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    running = {mode: Running(mode, tmp_path_factory.mktemp(mode)) for mode in ("t2v", "i2v")}
    yield running
    for space in running.values():
        space.blocks.close()


@pytest.fixture
def t2v(spaces: dict[str, Running]) -> Running:
    return _fresh(spaces["t2v"])


@pytest.fixture
def i2v(spaces: dict[str, Running]) -> Running:
    return _fresh(spaces["i2v"])


def _fresh(space: Running) -> Running:
    space.service.log.clear()
    space.service.closed.clear()
    space.service.failure, space.service.pause = None, 0.0
    return space


def wait_for(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def endpoints(space: Running) -> dict[str, Any]:
    return space.client.view_api(return_format="dict", print_info=False)["named_endpoints"]  # type: ignore[index]


def test_only_the_contract_is_public(t2v: Running) -> None:
    assert set(endpoints(t2v)) == {"/generate", "/plan", "/manifest"}


KEY = "a secret of this Space"


class Administered(FakeService):
    admin = KEY

    def unload(self) -> None:
        self.log.append("unload")

    def clear_cache(self) -> int:
        return 1234

    def clear_loras(self) -> int:
        return 99

    def download(self, checkpoint: str, *, again: bool = False) -> None:
        self.log.append(f"download {checkpoint} {again}")

    def cancel(self, checkpoint: str) -> None:
        self.log.append(f"cancel {checkpoint}")

    def delete(self, checkpoint: str) -> int:
        self.log.append(f"delete {checkpoint}")
        return 7


def test_admin_calls_exist_only_where_the_space_has_a_secret_and_for_who_knows_it(tmp_path: Path) -> None:
    service = Administered(MODES["t2v"], tmp_path)
    service.admin = ""
    assert "admin" not in {f.api_name for f in space_of(service).fns.values()}
    service.admin = KEY
    blocks = space_of(service)
    blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        client = Client(blocks.local_url, verbose=False, token=False, ssl_verify=False)
        for key in ("", "1", KEY[:-1], KEY + " "):
            with pytest.raises(AppError, match="key must be this Space's WAN_ADMIN"):
                client.predict(key, "clear_cache", api_name="/admin")
        assert service.log == []
        done = client.predict(KEY, "unload", api_name="/admin")
        assert done == {"action": "unload", "freed_bytes": 0}
        assert client.predict(KEY, "clear_cache", api_name="/admin")["freed_bytes"] == 1234
        assert service.log == ["unload"]
        for action, told in (("download", "download k False"), ("download_again", "download k True"),
                             ("cancel", "cancel k"), ("delete", "delete k")):  # fmt: skip
            client.predict(KEY, f"{action} k", api_name="/admin")
            assert service.log[-1] == told
        assert client.predict(KEY, "delete k", api_name="/admin")["freed_bytes"] == 7
        assert client.predict(KEY, "clear_loras", api_name="/admin")["freed_bytes"] == 99
        did = len(service.log)
        with pytest.raises(AppError, match=r"action must be unload or clear_cache or .*delete; got 'reset'"):
            client.predict(KEY, "reset", api_name="/admin")
        for strange in (["unload"], {"delete": 1}, None, 1, "d" * 100_000, "unload k"):
            with pytest.raises(AppError, match="action must be unload or clear_cache"):
                client.predict(KEY, strange, api_name="/admin")
        assert len(service.log) == did
        assert set(mcp_tools(str(blocks.local_url))) == {"generate", "plan", "manifest"}, "no tool for agents"
    finally:
        blocks.close()


def test_a_space_started_alone_looks_like_the_studio(t2v: Running) -> None:
    assert t2v.blocks.theme.name == "default" and ".stage" in (t2v.blocks.css or "")


@pytest.mark.parametrize("mode", ["t2v", "i2v"])
def test_parameters_are_the_fields_of_the_request(spaces: dict[str, Running], mode: str) -> None:
    fields = MODES[mode].request_type.model_fields  # type: ignore[index]
    for name in ("/generate", "/plan"):
        shown = {p["parameter_name"]: p for p in endpoints(spaces[mode])[name]["parameters"]}
        assert list(shown) == [*fields, *(["job"] if name == "/generate" else [])]
        for key, field in fields.items():
            assert shown[key]["parameter_has_default"] is not field.is_required()
            if not field.is_required():
                assert shown[key]["parameter_default"] == field.default


def test_types_are_announced(i2v: Running) -> None:
    shown = {p["parameter_name"]: p["python_type"]["type"] for p in endpoints(i2v)["/generate"]["parameters"]}
    assert shown["prompt"] == "str"
    assert shown["num_frames"] == "None | int"
    assert shown["guidance_scale"] == "None | float"
    assert "filepath" in shown["image"]
    returns = endpoints(i2v)["/generate"]["returns"]
    assert "filepath" in returns[0]["python_type"]["type"]


def test_predict_with_a_prompt_alone_gives_video_and_done(t2v: Running) -> None:
    video, event = t2v.client.predict(prompt="a red circle", api_name="/generate")
    assert Path(video).read_bytes()[4:8] == b"ftyp"
    assert event["type"] == "done" and event["plan"]["num_inference_steps"] == 4
    assert event["lineage"]["request"]["prompt"] == "a red circle"
    assert t2v.service.log == ["plan", "generate", "done"]


def test_submit_streams_events_in_order(t2v: Running) -> None:
    t2v.service.pause = 0.1
    job = t2v.client.submit(prompt="a", num_inference_steps=3, api_name="/generate")
    assert wait_for(job.done, 20)
    events = [event for _, event in job.outputs()]
    assert events[0]["type"] == "stage" and events[-1]["type"] == "done"
    assert [e["index"] for e in events if e["type"] == "step"] == [1, 2, 3]
    assert all(video is None for video, _ in job.outputs()[:-1])
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)


def test_cancel_ends_the_generation_within_a_step_and_the_next_job_runs(t2v: Running) -> None:
    t2v.service.pause = 0.2
    client = t2v.connect()
    job = client.submit(prompt="a", num_inference_steps=50, api_name="/generate")
    assert wait_for(lambda: len(job.outputs()) >= 2, 10)
    job.cancel()
    assert t2v.service.closed.wait(1.0)
    assert "done" not in t2v.service.log
    t2v.service.pause = 0.0
    assert t2v.connect().predict(prompt="b", api_name="/generate")[1]["type"] == "done"


def test_page_and_api_share_one_line(t2v: Running) -> None:
    t2v.service.pause = 0.1
    jobs = [t2v.connect().submit(prompt=f"{i}", num_inference_steps=2, api_name="/generate") for i in "ab"]
    assert all(job.result(timeout=20)[1]["type"] == "done" for job in jobs)
    log = [entry for entry in t2v.service.log if entry in ("generate", "done")]
    assert log == ["generate", "done", "generate", "done"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"prompt": ""}, "prompt must not be empty; describe what should be seen"),
        ({"prompt": "a", "num_frames": 80}, "num_frames must be 4k+1; got 80, try 77 or 81"),
        ({"prompt": "a", "width": 832, "height": 480}, "must be a Wan-Nano size; got 832x480"),
        ({"prompt": "a", "checkpoint": "wan9"}, "checkpoint must be one that t2v runs; got 'wan9'"),
        ({"prompt": "a", "seed": "x"}, "seed is not valid"),
    ],
)
@pytest.mark.parametrize("name", ["/generate", "/plan"])
def test_bad_input_is_one_line_with_a_title(t2v: Running, name: str, values: dict, text: str) -> None:
    with pytest.raises(AppError) as error:
        t2v.client.predict(**values, api_name=name)
    assert text in str(error.value) and "\n" not in str(error.value)
    assert error.value.title == "Check the input"  # type: ignore[attr-defined]
    assert "generate" not in t2v.service.log


def test_unknown_and_missing_arguments_are_named(t2v: Running) -> None:
    with pytest.raises(TypeError, match="strenght"):
        t2v.client.predict(prompt="a", strenght=1, api_name="/generate")
    with pytest.raises(TypeError, match="prompt"):
        t2v.client.predict(api_name="/generate")


def test_a_failure_in_the_middle_keeps_title_and_text(t2v: Running) -> None:
    t2v.service.failure = GpuError("The GPU ran out of memory.")
    with pytest.raises(AppError) as error:
        t2v.client.predict(prompt="a", api_name="/generate")
    assert (error.value.title, str(error.value)) == ("GPU not available", "The GPU ran out of memory.")  # type: ignore[attr-defined]


def test_manifest_and_plan_answer_at_once_while_a_job_runs(t2v: Running) -> None:
    t2v.service.pause = 0.3
    job = t2v.connect().submit(prompt="a", num_inference_steps=50, api_name="/generate")  # 15 s and more
    assert wait_for(lambda: bool(job.outputs()), 10)
    assert t2v.client.predict(api_name="/manifest")["mode"] == "t2v"
    assert t2v.client.predict(prompt="a", api_name="/plan")["gpu_seconds"] > 0
    assert not job.done()
    job.cancel()
    assert t2v.service.closed.wait(2)


def test_the_generation_sees_the_visitors_request(t2v: Running) -> None:
    t2v.client.predict(prompt="a", api_name="/generate")
    assert getattr(t2v.service.seen, "headers", None), "ZeroGPU reads the visitor's quota token from it"


def test_an_image_arrives_as_a_file(i2v: Running) -> None:
    picture = Path(__file__).resolve().parents[2] / "common/examples/red-circle.png"
    i2v.client.predict(prompt="a", image=handle_file(str(picture)), image_from=0.5, api_name="/generate")
    request: Any = i2v.service.request
    assert Path(request.image.path).read_bytes() == picture.read_bytes()
    assert (Path(request.image.path).name, request.image_from) == ("red-circle.png", 0.5)


@pytest.mark.parametrize("extra", [{}, {"meta": {"_type": "other"}}])
def test_a_path_of_the_server_is_no_upload(i2v: Running, extra: dict) -> None:
    with pytest.raises(AppError):
        i2v.connect().predict(prompt="a", image={"path": str(Path(__file__)), **extra}, api_name="/generate")
    assert "generate" not in i2v.service.log


def test_a_refused_file_is_called_as_in_the_api(i2v: Running) -> None:
    with pytest.raises(AppError, match=r"^image must be an upload or a result of this Studio"):
        i2v.connect().predict(prompt="a", image={"path": "/etc/passwd"}, api_name="/generate")


def mcp_tools(url: str, call: dict[str, Any] | None = None) -> dict[str, Any]:
    """The tools that an agent sees; with `call`, what `generate` answers to these arguments as well."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def go() -> dict[str, Any]:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name.rpartition("_")[2]: tool for tool in (await session.list_tools()).tools}
            return (
                tools
                if call is None
                else {**tools, "": await session.call_tool(tools["generate"].name, call)}
            )

    return asyncio.run(asyncio.wait_for(go(), 60))


def test_mcp_lists_and_calls_generate(t2v: Running) -> None:
    tools = mcp_tools(t2v.url, {"prompt": "a red circle", "num_inference_steps": 2})
    result = tools.pop("")
    assert set(tools) == {"generate", "plan", "manifest"}
    assert "Frames" in tools["generate"].inputSchema["properties"]["num_frames"]["description"]
    assert not result.isError
    text = " ".join(getattr(part, "text", "") for part in result.content)
    assert ".mp4" in text and '"done"' in text.replace("'", '"'), text


def test_plan_is_json_all_the_way(t2v: Running) -> None:
    assert json.loads(json.dumps(t2v.client.predict(prompt="a", api_name="/plan")))["mode"] == "t2v"
