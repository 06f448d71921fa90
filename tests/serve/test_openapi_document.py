"""What the OpenAPI document says is so: schemathesis asks for whatever it allows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Running

# A schema cannot say that a string of bytes is a photo, or that a tensor has the model's shape:
# what the document allows may be refused with 4xx. That it is refused as documented is checked.
NOT_IN_A_SCHEMA = "positive_data_acceptance"


@pytest.mark.slow
def test_every_check_of_schemathesis_holds(serve: Callable[..., Running], tmp_path: Path) -> None:
    running = serve("--reload")
    found = shutil.which("schemathesis", path=sysconfig.get_path("scripts"))
    assert found is not None
    words = [found, "run", f"{running.url}/openapi.json", "--checks", "all", "--no-color"]
    words += ["--exclude-checks", NOT_IN_A_SCHEMA, "--continue-on-failure", "--seed", "1"]
    words += ["--max-examples", "25", "--max-time", "60", "--generation-database", "none"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    assert not [line for line in running.lines if '"failed"' in line or '"status": 500' in line]


def test_the_examples_of_the_document_are_answered(server: Running) -> None:
    document = server.ask("GET", "/openapi.json").json
    schema = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
    (example,) = schema["application/json"]["schema"]["examples"]
    reply = server.ask(
        "POST",
        "/v2/models/kennel/infer",
        json.dumps(example).encode(),
        {"content-type": "application/json"},
    )
    assert reply.status == 200
    assert [each["name"] for each in reply.json["outputs"]] == ["label", "probabilities"]
