"""Runs in MLflow: settings, figures, pictures, the record, and the model with its signature."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from kennel.errors import RunError, need
from kennel.infer import OnnxFunction
from kennel.learn.onnx import write_onnx
from kennel.learn.trained import load_model
from kennel.learn.watch.record import flat, keep_id, known_as, settings_of
from kennel.machine import versions
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, RUN_JSON, Run

log = logging.getLogger(__name__)
SEND_EVERY_S = 1.0
MOST_AT_ONCE = 1000  # which is what a server takes
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_/. -]+")
SQLITE = "sqlite:///"
GONE = "RESOURCE_DOES_NOT_EXIST"
MOST_DIFFERENCE = 1e-3  # of logits between the network and its ONNX file


class MlflowRun(MLFlowLogger):
    """Lightning's logger for MLflow, which goes on with the same MLflow run after a resume.

    Args:
        folder: the run's own.
        tracking_uri: `sqlite:///mlruns/mlflow.db`, whose folder is made and takes the artifacts
            too; or a server's address.
        experiment_name: that the run belongs to.
        model: whether the trained network is kept there as ONNX, with its signature.
    """

    def __init__(
        self,
        folder: str,
        *,
        tracking_uri: str,
        experiment_name: str = "kennel",
        model: bool = True,
    ) -> None:
        # MLflow counts its users by network unless told before it is imported.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        need("mlflow", extra="mlflow")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        self._folder, self._keeps_model = Path(folder), model
        self._started = False
        self._waiting: list[Any] = []
        self._sent_s = float("-inf")
        artifacts = None
        if tracking_uri.startswith(SQLITE):
            home = Path(tracking_uri.removeprefix(SQLITE)).resolve().parent
            try:
                home.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unreachable(tracking_uri, error) from error
            artifacts = (home / "artifacts").as_uri()
        try:
            super().__init__(
                experiment_name=experiment_name,
                run_name=self._folder.resolve().name,
                tracking_uri=tracking_uri,
                artifact_location=artifacts,
                run_id=known_as(self._folder, "mlflow"),
            )
        except Exception as error:  # of MLflow, of its database, of the network
            raise _unreachable(tracking_uri, error) from error

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client. The first to ask starts the run, or goes on with it."""
        if self._started:
            return super().experiment
        self._started = True
        try:
            self._forget_what_is_gone()
            client = super().experiment
            assert self._run_id is not None
            client.update_run(self._run_id, status="RUNNING")
            keep_id(self._folder, "mlflow", self._run_id)
            self._log_settings(client)
        except Exception as error:
            raise _unreachable(self._tracking_uri, error) from error
        return client

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hands figures to MLflow, those of a second at once: its SQLite file takes 20 ms for each
        time, which a step is often not worth.
        """
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        self._waiting += [
            Metric(NOT_IN_NAMES.sub("", name), float(value), now_ms, step or 0)
            for name, value in metrics.items()
        ]
        if time.monotonic() - self._sent_s >= SEND_EVERY_S:
            self._send()

    def finalize(self, status: str = "success") -> None:
        if self._started:
            self._send()
        super().finalize(status)

    def _send(self) -> None:
        client, waiting = self.experiment, self._waiting
        for start in range(0, len(waiting), MOST_AT_ONCE):
            client.log_batch(self.run_id, metrics=waiting[start : start + MOST_AT_ONCE])
        self._waiting, self._sent_s = [], time.monotonic()

    def take(self, run: Run) -> None:
        """Keeps the run's record and weights as artifacts, and its model."""
        try:
            for name in (CONFIG_YAML, RUN_JSON, BEST_WEIGHTS, "hardware.csv"):
                if (run.path / name).is_file():
                    self.experiment.log_artifact(self.run_id, str(run.path / name))
            if self._keeps_model and run.best_checkpoint is not None:
                self._keep_model(run)
        except Exception as error:  # the run itself is done, and whole
            log.warning("MLflow did not take all of the run: %s", str(error).splitlines()[0])

    def _forget_what_is_gone(self) -> None:
        from mlflow.exceptions import MlflowException

        if self._run_id is None:
            return
        try:
            known = self._mlflow_client.get_run(self._run_id)
        except MlflowException as error:
            if error.error_code != GONE:
                raise
            known = None
        if known is None or known.info.lifecycle_stage != "active":
            log.warning("MLflow does not know this run any more: it begins a new one there")
            self._run_id = None

    def _log_settings(self, client: Any) -> None:
        """Settings as parameters. MLflow changes none that it has: a resumed run may have others,
        and its config.yaml, kept at the end, has the newest.
        """
        known = client.get_run(self._run_id).data.params
        params = flat(settings_of(self._folder))
        self.log_hyperparams({k: v for k, v in params.items() if k not in known})

    def _keep_model(self, run: Run) -> None:
        """The best weights as ONNX with labels, preprocessing and signature; no pickle in it."""
        import mlflow
        import onnx
        from mlflow.models import infer_signature

        network = load_model(run).network.eval()
        size = run.preprocess.size
        pictures = np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)
        metadata = {
            "labels": json.dumps(run.labels, ensure_ascii=False),
            "preprocess": json.dumps(asdict(run.preprocess)),
            "run_id": run.run_id,
            "dataset_id": run.dataset_id,
        }
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(network, path, size=size, outputs=("logits",), metadata=metadata)
            answers = OnnxFunction(path)(pictures)
            with torch.inference_mode():
                difference = np.abs(network(torch.from_numpy(pictures)).numpy() - answers["logits"])
            if not difference.max() <= MOST_DIFFERENCE:
                log.warning("its ONNX file answers otherwise: no model is kept in MLflow")
                return
            proto = onnx.load(path)
        libraries = versions(("onnxruntime", "numpy"))
        with mlflow.start_run(run_id=self.run_id):
            mlflow.onnx.log_model(
                proto,
                name="model",
                signature=infer_signature(pictures, answers),
                # Named here: else MLflow starts a process that imports the model to find them out.
                pip_requirements=[f"{name}=={found}" for name, found in libraries.items()],
                metadata=metadata,
                save_as_external_data=False,
            )


def _unreachable(uri: str, error: Exception) -> RunError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return RunError(
        f"MLflow at {uri} cannot be written: {reason}.",
        fix="logger.mlflow.tracking_uri=sqlite:///mlruns/mlflow.db, or logger=default",
    )
