"""What lies in memory in which format, what a machine can make, and what it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from cli.machines import MACHINES, checkpoints, job, sizes
from common import memory, placement
from common.catalog import CHECKPOINTS, TEXT_TABLE_PARAMETERS, VAE_PARAMETERS, Checkpoint, Resolution
from common.contract import Backend, Placement
from common.memory import Shape
from common.modes.all import MODES
from common.placement import Job, place, possible, precision, shortage, usable, zerogpu
from deploy import federation, targets

MOE, T2V, SMALL = (CHECKPOINTS[k] for k in ("wan2.2-t2v-a14b", "wan2.1-t2v-14b", "wan2.1-t2v-1.3b"))
HOLDS_ALL = Backend(device="cuda", name="a large card", memory_bytes=200_000_000_000)
CARD = dict(MACHINES)["24 GB card"]
BLACKWELL = Backend(
    device="cuda", name="an RTX PRO 6000", memory_bytes=102_000_000_000, capability=(12, 0), attention="int8"
)
R480, R720, R704 = Resolution(832, 480), Resolution(1280, 720), Resolution(1280, 704)


def placed(
    row: Checkpoint, backend: Backend, size: Resolution, frames: int | None = None
) -> Placement | None:
    asked = job(row, size)
    if frames:
        asked = replace(asked, shape=Shape(size.width, size.height, frames))
    return place(row, "wan", backend, asked)


@pytest.mark.parametrize("part", ["vae", "image_encoder"])
def test_placement_keeps_vae_and_clip_in_full_precision(part: str) -> None:
    assert precision(part, "cuda") == precision(part, "mps") == "float32"


@pytest.mark.parametrize("part", ["transformer", "transformer_2", "text_encoder"])
def test_placement_halves_what_is_large_on_a_gpu_alone(part: str) -> None:
    found = [precision(part, device) for device in ("cuda", "mps", "cpu")]
    assert found == ["bfloat16", "bfloat16", "float32"]


@pytest.mark.parametrize(
    ("key", "size", "gigabytes"),
    [
        # Live tensors counted on the meta device: lower bounds. Ours were fitted to an H100.
        ("wan2.1-t2v-14b", R480, 49.9),
        ("wan2.1-t2v-14b", R720, 60.5),
        ("wan2.1-i2v-14b-480p", R480, 56.9),
        ("wan2.1-i2v-14b-720p", R720, 67.5),
        ("wan2.1-flf2v-14b-720p", R720, 67.5),
        ("wan2.1-vace-14b", R480, 54.7),
        ("wan2.1-vace-14b", R720, 65.3),
        ("wan2.2-t2v-a14b", R480, 79.1),
        ("wan2.2-t2v-a14b", R720, 89.7),
        ("wan2.2-ti2v-5b", R704, 44.9),
        ("wan2.1-t2v-1.3b", R480, 23.5),
    ],
)
def test_placement_peaks_are_those_that_were_counted(key: str, size: Resolution, gigabytes: float) -> None:
    found = placed(CHECKPOINTS[key], HOLDS_ALL, size)
    assert found is not None and not found.why
    assert found.peak_bytes / 1e9 == pytest.approx(gigabytes, rel=0.1)


def test_placement_tries_the_ways_in_their_order() -> None:
    """One machine that gets smaller takes one lever after the other, and never a thriftier one too soon."""
    ways: list[tuple[str, bool, str, str]] = []
    for gigabytes in range(100, 4, -1):
        card = Backend(
            device="cuda", name="a card", memory_bytes=gigabytes * 1_000_000_000, capability=(9, 0)
        )
        if (found := placed(T2V, card, R720)) is None:
            break
        assert found.peak_bytes <= usable(card)
        ways.append(
            (found.precision["vae_decode"], found.tiling, found.offload, found.precision["transformer"])
        )
    assert list(dict.fromkeys(ways)) == [
        ("float32", False, "none", "bfloat16"),
        ("bfloat16", False, "none", "bfloat16"),
        ("bfloat16", True, "none", "bfloat16"),
        ("bfloat16", True, "text_encoder", "bfloat16"),
        ("bfloat16", True, "text_encoder", "float8"),
        ("bfloat16", True, "group", "float8"),
    ]
    assert 10 < gigabytes < 14, "then it is refused"


@pytest.mark.parametrize("row", checkpoints(), ids=lambda row: row.key)
def test_placement_of_every_checkpoint_on_every_machine(row: Checkpoint) -> None:
    """What runs fits; what does not is refused with something smaller that does, unless nothing runs at all."""
    for _, machine in MACHINES:
        for size in sizes(row):
            asked = job(row, size)
            if found := place(row, "wan", machine, asked):
                assert found.peak_bytes <= usable(machine)
                assert found.weight_bytes < found.peak_bytes
                assert ("float8" in found.precision.values()) <= (machine.device == "cuda")
                continue
            options = possible(row, "wan", machine, asked)
            text = shortage(row, "wan", machine, asked)
            for smaller, frames in options:
                assert placed(row, machine, smaller, frames)
                assert not placed(row, machine, smaller, frames + 4) or frames == asked.shape.num_frames
            assert ("it can make" in text) == bool(options)


def test_placement_of_the_default_federation_fits_every_size_of_every_space() -> None:
    for target in targets.resolve(federation.load(federation.ROOT / "deploy/federation.toml"), "somebody"):
        if target.mode is None:
            continue
        tier = zerogpu("xlarge" if target.variables["WAN_GPU_SIZE"] == "xlarge" else "large")
        row = CHECKPOINTS[target.checkpoints[0]]
        for size in row.sizes("wan"):
            shape = Shape(size.width, size.height, row.default_frames("wan"))
            assert place(row, "wan", tier, MODES[target.mode].job(shape)), (target.name, size)


def test_placement_names_what_fits_instead() -> None:
    asked = job(MOE, R720)
    assert not place(MOE, "wan", zerogpu("large"), asked)
    assert place(MOE, "nano", zerogpu("large"), asked)
    assert place(MOE, "wan", Backend(device="cuda"), asked), "a machine of unknown memory holds anything"
    assert shortage(MOE, "wan", zerogpu("large"), asked) == (
        "Wan 2.2 T2V-A14B (MoE) needs 52.6 GB for 1280x720 and 81 frames, ZeroGPU large has 47.6 GB for it; "
        "it can make 832x480 and 81 frames or 1280x720 and 37 frames"
    )


def test_placement_counts_what_waits_in_the_machines_own_memory() -> None:
    at_home = {
        host: CARD.model_copy(update={"host_bytes": host * 1_000_000_000}) for host in (0, 16, 32, 48, 64, 96)
    }
    runs = {host: bool(placed(T2V, machine, R480)) for host, machine in at_home.items()}
    assert runs == {0: True, 16: False, 32: False, 48: True, 64: True, 96: True}
    assert not placed(MOE, at_home[64], R480) and placed(MOE, at_home[96], R480)
    said = shortage(T2V, "wan", at_home[32], job(T2V, R480))
    assert "39.9 GB of it cannot wait in the machine's own memory, which has 28.8 GB for it" in said


def test_placement_loads_a_model_in_one_form_for_all_its_clips() -> None:
    """A short clip after a long one must not have the model loaded anew."""
    for _, machine in MACHINES:
        for row in checkpoints():
            found = [placed(row, machine, size, n) for size in sizes(row) for n in (1, 41, 81)]
            forms = {(p.precision["transformer"], p.offload == "group") for p in found if p}
            assert len(forms) <= 1, (machine.name, row.key)


def test_placement_of_a_mac_knows_neither_8_bits_nor_a_memory_beside_its_own() -> None:
    mac = dict(MACHINES)["Mac, 128 GB"]
    assert placement.levers(T2V, mac) == ("the VAE works in tiles",)
    found = placed(T2V, mac, R480)
    assert found and found.attention == "chunked" and found.host_bytes == 0
    still = placed(T2V, mac, R480, 1)
    assert still and still.attention == "sdpa"
    assert placed(SMALL, dict(MACHINES)["CPU, 16 GB"], R480) is None


def test_placement_loads_anew_rather_than_to_refuse_but_not_in_a_worker() -> None:
    """The longest clip of a checkpoint needs another form than its usual ones."""
    card = Backend(device="cuda", name="a card", memory_bytes=34_000_000_000, capability=(12, 0))
    usual, longest = (placed(T2V, card, R720, frames) for frames in (81, 129))
    assert usual and longest
    assert (usual.precision["transformer"], usual.offload) != (
        longest.precision["transformer"], longest.offload,
    )  # fmt: skip
    forms = {p.precision["transformer"] for n in (1, 41, 81) if (p := placed(MOE, zerogpu("large"), R480, n))}
    assert len(forms) == 1


@pytest.mark.parametrize("have", [0, 1, 10**9, 8 * 10**9, 48 * 10**9, 10**15])
def test_placement_of_any_machine_ends_in_words(have: int) -> None:
    for host in (0, 1, 10**12):
        for device, tier in (("cuda", None), ("cuda", "large"), ("mps", None), ("cpu", None)):
            machine = Backend.model_validate(
                {"device": device, "gpu_size": tier, "memory_bytes": have, "host_bytes": host, "name": "it"}
            )
            for row in checkpoints():
                asked = job(row, row.sizes("wan")[0])
                if place(row, "wan", machine, asked) is None:
                    assert not re.search(r"(has|needs) (-|nan|inf)", shortage(row, "wan", machine, asked))


def test_placement_of_what_does_not_fit_is_said_at_once() -> None:
    """Labels are made while somebody types; a machine's form is worked out once."""
    card = Backend(device="cuda", name="small", memory_bytes=8 * 10**9, host_bytes=32 * 10**9)
    counted = 0

    def count(*args: Any, real: Any = placement._stages) -> Any:
        nonlocal counted
        counted += 1
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "_stages", count)
        shortage(T2V, "wan", card, job(T2V, R720))
        first, counted = counted, 0
        shortage(T2V, "wan", card, job(T2V, R720))
    assert counted < 1500 and counted <= first


def test_placement_counts_vaces_pictures() -> None:
    """Each is a latent frame more: 21 become 24."""
    row = CHECKPOINTS["wan2.1-vace-14b"]
    plain, more = (placed_vace(row, n) for n in (0, 3))
    held = plain.weight_bytes + 2 * TEXT_TABLE_PARAMETERS + 2 * VAE_PARAMETERS[8]
    added = (more.peak_bytes - plain.peak_bytes) / (plain.peak_bytes - held)
    assert added == pytest.approx(3 / 21, rel=0.01)


def placed_vace(row: Checkpoint, references: int) -> Placement:
    found = place(row, "wan", zerogpu("large"), Job(Shape(832, 480, 81, references), reads_media=True))
    assert found is not None
    return found


@pytest.mark.parametrize("machine", [zerogpu("xlarge"), Backend(device="cuda", name="a card", memory_bytes=10**11)])
def test_placement_knows_that_mounted_weights_are_in_8_bits(machine: Backend) -> None:
    """They would be so whatever was planned; and nobody chose it to make them fit."""
    there = machine.model_copy(update={"in_8_bits": [MOE.key]})
    plain, thin = (place(MOE, "wan", m, job(MOE, R480)) for m in (machine, there))
    assert plain and thin and thin.precision["transformer"] == "float8" and not thin.why
    assert plain.precision["transformer"] == "bfloat16"
    saved = plain.weight_bytes - thin.weight_bytes
    assert saved == pytest.approx(plain.peak_bytes - thin.peak_bytes) == pytest.approx(2 * 14.05e9, rel=0.01)
    other = place(T2V, "wan", there, job(T2V, R480))
    assert other and other.precision["transformer"] == "bfloat16"


@pytest.mark.parametrize("machine", [BLACKWELL, zerogpu("xlarge").model_copy(update={"attention": "int8"})])
@pytest.mark.parametrize(("key", "wanted"), [
    ("wan2.1-t2v-14b", "int8"), ("wan2.2-t2v-a14b", "int8"), ("wan2.2-ti2v-5b", "int8"), ("wan2.1-vace-14b", "int8"),
    ("wan2.2-s2v-14b", "sdpa"), ("wan2.2-animate-14b", "sdpa"), ("wan2.2-animate-2-14b", "sdpa"),
])  # fmt: skip
def test_blackwell_attends_in_integers_but_where_something_stands_between_blocks(
    machine: Backend, key: str, wanted: str
) -> None:
    row = CHECKPOINTS[key]
    size = row.sizes("wan")[0]
    found = placed(row, machine, Resolution(size.width, size.height))
    assert found and (found.attention, found.compile) == (wanted, "none")
    nano = place(row, "nano", machine, job(row, Resolution(size.width, size.height)))
    assert nano and nano.attention == "sdpa"


@pytest.mark.parametrize(("size", "gigabytes"), [(R480, 4.41), (R720, 10.16)])
def test_integers_take_what_was_measured(size: Resolution, gigabytes: float) -> None:
    """One forward of a 14B on an H200, uncompiled, beside its weights (bench/results/gpu-h200.json)."""
    shape = Shape(size.width, size.height, 81)
    found = memory.denoise(T2V.architecture, shape, integers=True)
    assert found / 1e9 == pytest.approx(gigabytes, rel=0.02)
    small = SMALL.architecture  # its feed-forward is wider than that, for its size
    assert memory.denoise(small, shape, integers=True) == memory.denoise(small, shape)
