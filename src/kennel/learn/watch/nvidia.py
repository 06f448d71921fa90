"""NVIDIA devices as their driver sees them: how busy, how full, how hot. By NVML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pynvml
import torch

GIB = 2**30


def uuids_of(devices: Sequence[torch.device]) -> list[str]:
    """NVML's names of CUDA devices.

    Torch counts what CUDA_VISIBLE_DEVICES leaves, the driver counts all: numbers do not compare.
    """
    return [
        f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        for device in devices
        if device.type == "cuda"
    ]


class Devices:
    """Some NVIDIA devices of this machine; none where there is no driver, or it knows none of them.

    Args:
        uuids: "GPU-…", as `nvidia-smi -L` lists them.
    """

    def __init__(self, uuids: Sequence[str]) -> None:
        self._handles: list[Any] = []
        self._open = False
        if not uuids:
            return
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._open = True
            for uuid in uuids:
                self._handles.append(pynvml.nvmlDeviceGetHandleByUUID(uuid))

    def read(self) -> dict[str, float]:
        """Figures by name, such as "gpu_0_power_w"; those that a device does not have are left
        out.
        """
        found: dict[str, float] = {}
        for at, handle in enumerate(self._handles):
            for name, read in READINGS.items():
                with suppress(pynvml.NVMLError):
                    found[f"gpu_{at}_{name}"] = read(handle)
        return found

    def close(self) -> None:
        """Lets go of the driver."""
        if self._open:
            self._open = False
            self._handles = []
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


def _temperature(handle: Any) -> float:
    try:
        return float(pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU))
    except pynvml.NVMLError:  # drivers before CUDA 12.8 have only this
        return float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


READINGS: dict[str, Callable[[Any], float]] = {
    "utilisation_percent": lambda handle: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    "memory_gib": lambda handle: round(pynvml.nvmlDeviceGetMemoryInfo(handle).used / GIB, 3),
    "power_w": lambda handle: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    "temperature_c": _temperature,
}
