"""A working folder with templates, bundles and images in it, beside an AWS: where tests deploy."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bundles import tiny_bundle
from emulated_aws import Aws, Engine

from kennel.cli import main
from kennel.cli.cloud.deploy import own_answer


@dataclass
class Place:
    """One deployment.

    Attributes:
        bundle: id of the one in use, `bundle_before` of the one before it.
    """

    folder: Path
    templates: Path
    aws: Aws
    engine: Engine
    bundle: str = ""
    bundle_before: str = ""

    def use(self, bundle: str, **how: Any) -> None:
        """From now on that bundle is meant: it is there and in the image; the function knows it."""
        path = self.folder / "bundles" / bundle
        if not path.exists():
            tiny_bundle(path, bundle_id=bundle, **how)
        self.bundle_before, self.bundle = self.bundle, bundle
        self.engine.image("kennel-serve", bundle=bundle)
        answer = asdict(own_answer(path, None))
        answer.pop("photo")
        self.aws.function.answers[bundle] = {**answer, "took_ms": 11.0}

    def words(self, *words: str) -> list[str]:
        more = ["--templates", str(self.templates)]
        if words[0] == "deploy":
            more += ["--bundle", str(self.folder / "bundles" / self.bundle)]
        return [*words, *more]

    def run(self, *words: str, add: bool = True) -> tuple[int, str, str]:
        """`kennel cloud ...` in this process: its exit code, stdout, stderr.

        Args:
            add: templates and bundle; False names the templates alone.
        """
        chosen = self.words(*words) if add else [*words, "--templates", str(self.templates)]
        out, err = io.StringIO(), io.StringIO()
        stdin, sys.stdin = sys.stdin, io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(["cloud", *chosen])
        finally:
            sys.stdin = stdin
        return code, out.getvalue(), err.getvalue()
