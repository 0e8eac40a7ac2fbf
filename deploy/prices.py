"""What the Hub's machines cost just now, and what a clip on each would: one table of Spaces' hardware and Jobs'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from huggingface_hub import JobHardware, JobHardwareInfo, SpaceHardware

from common.catalog import CHECKPOINTS
from common.contract import ModeKey
from common.modes.all import MODES
from deploy import hardware
from deploy.clips import clip
from deploy.federation import ZEROGPU
from deploy.hub import Hub
from deploy.targets import Target

_HOURS = {"hour": 1.0, "minute": 60.0, "second": 3600.0}


@dataclass(frozen=True)
class Prices:
    """Machines by name with what the Hub says of each (None where it was not to be asked, and `why`)."""

    spaces: Mapping[str, JobHardwareInfo | None]
    jobs: Mapping[str, JobHardwareInfo | None]
    why: str = field(default="")

    def of(self, name: str) -> str:
        """A Space's machine in words: its price, if it has one and it is known."""
        if name == ZEROGPU:
            return "nothing an hour: part of PRO, Team and Enterprise"
        dollars = an_hour(self.spaces.get(name))
        return "price not known" if dollars is None else f"${dollars:.2f} an hour" if dollars else "nothing an hour"


def ask(hub: Hub) -> Prices:
    """The prices of this moment. Never raises: without them all else is still true."""
    try:
        spaces, jobs = hub.api.list_spaces_hardware(), hub.api.list_jobs_hardware()
        return Prices({h.name: h for h in spaces}, {h.name: h for h in jobs})
    except Exception as error:  # no network, a refusal, another form: none of them may keep a plan from being made
        known = {h.value: None for h in SpaceHardware}, {h.value: None for h in JobHardware}
        return Prices(*known, why=f"the Hub's prices could not be asked ({type(error).__name__})")


def an_hour(info: JobHardwareInfo | None) -> float | None:
    """Dollars an hour; None where they are not known."""
    if info is None or info.unit_label not in _HOURS:
        return None
    return info.unit_cost_usd * _HOURS[info.unit_label]


def notices(target: Target, prices: Prices) -> list[str]:
    """What is to be said of a Space's machine: its price, and whether its checkpoint fits it."""
    said = [f"{target.hardware}: {prices.of(target.hardware)}"]
    if target.mode is None or target.weights != "wan":
        return said
    machine = hardware.backend(target.hardware, _ram(prices.spaces.get(target.hardware)))
    for key in target.checkpoints:
        if machine and (short := hardware.lack(target.mode, key, machine)):
            said.append(f"{short}{_instead(target.mode, key, prices)}")
    return said


def _instead(mode: ModeKey, key: str, prices: Prices) -> str:
    holds: list[tuple[float, str]] = []
    for name, info in prices.spaces.items():
        machine, dollars = hardware.backend(name, _ram(info)), an_hour(info)
        if machine and dollars is not None and not hardware.lack(mode, key, machine):
            holds.append((dollars, name))
    if not holds:
        return ""
    dollars, name = min(holds)
    return f"; the cheapest that holds every size is {name}, ${dollars:.2f} an hour"


def table(targets: Sequence[Target], prices: Prices) -> str:
    """For each mode's checkpoint every machine of one card that holds it: price, seconds and dollars of a clip."""
    wanted: dict[tuple[ModeKey, str], None] = {}
    for t in targets:
        wanted |= {(t.mode, key): None for key in t.checkpoints if t.mode}
    if not wanted:
        return "Wan-Nano runs on any machine; cpu-basic is enough"
    parts = [_one(mode, key, prices) for mode, key in wanted]
    notes = [
        "Seconds are measured of an H100, and of other cards follow from what is published of both: unverified.",
        "A clip's price is that of its seconds; to start, download and load comes on top. Machines of several cards",
        "are left out.",
    ]
    return "\n\n".join([*parts, "\n".join([*notes, *([prices.why] if prices.why else [])])])


def _one(mode: ModeKey, key: str, prices: Prices) -> str:
    row, rows, small = CHECKPOINTS[key], list[tuple[float, str]](), list[str]()
    lent = hardware.lent(key)
    times = [f"{clip(mode, key, preset, lent).expected_seconds:6.0f} s {'':8}" for preset in row.presets]
    if not hardware.lack(mode, key, lent):
        rows.append((0, f"  {ZEROGPU:14} Space {'PRO':>8}  {''.join(times)}"))
    machines = [("Space", *one) for one in prices.spaces.items()]
    machines += [("Job", *one) for one in prices.jobs.items()]
    for kind, name, info in machines:
        machine = hardware.backend(name, _ram(info))
        if machine is None:
            continue
        if hardware.lack(mode, key, machine):
            small.append(f"{name} ({kind})")
            continue
        dollars = an_hour(info)
        line, last = f"  {name:14} {kind:5} {'?' if dollars is None else f'${dollars:.2f}':>8}  ", 0.0
        for preset in row.presets:
            seconds = clip(mode, key, preset, machine).expected_seconds * hardware.slower(name)
            last = seconds * (dollars if dollars is not None else 1) / 3600
            line += f"{seconds:6.0f} s {'' if dollars is None else f'${last:.3f}':8}"
        rows.append((last or 1e-9, line))
    plan = clip(mode, key, next(iter(row.presets)), lent)
    head = f"{MODES[mode].title} · {row.name}: {plan.width}x{plan.height}, {plan.num_frames} frames"
    presets = "".join(f"{preset.capitalize():>8} {'':8}" for preset in row.presets)
    titles = f"  {'hardware':14} {'as':5} {'an hour':>8}  {presets}"
    body = [line.rstrip() for _, line in sorted(rows, key=lambda one: one[0])]
    tail = [f"  too small for every size: {', '.join(small)}"] if small else []
    return "\n".join([head, titles.rstrip(), *body, *tail])


def _ram(info: JobHardwareInfo | None) -> int:
    """Bytes of a machine's own memory, such as of "46 GB"; 0 where they are not known."""
    number, _, unit = (info.ram if info else "").partition(" ")
    factor = {"GB": 1e9, "TB": 1e12}.get(unit.strip(), 0)
    return int(float(number) * factor) if factor and number.replace(".", "", 1).isdigit() else 0
