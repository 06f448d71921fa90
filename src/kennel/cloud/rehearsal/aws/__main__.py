"""moto's server with what is ours: `python -m kennel.cloud.rehearsal.aws --door ADDRESS`.

Listens on a free port of loopback and prints its address and the types it knows, one line of JSON.
Ends with its standard input, so that it does not outlive whoever started it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", required=True, help="address that a function URL is to have")
    parser.add_argument("--heard", required=True, type=Path, help="file for who asked what")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ["KENNEL_REHEARSAL_DOOR"] = args.door.rstrip("/")
    os.environ["MOTO_LAMBDA_STUB_ECR"] = "false"  # an image that is not there is refused
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

    from moto.cloudformation import parsing
    from moto.moto_server import werkzeug_app
    from werkzeug.serving import make_server

    from kennel.cloud.rehearsal.aws import engine, heard, kinds, of_lambda, of_network, of_storage

    kinds.teach()
    engine.correct()
    of_lambda.teach_urls()
    of_storage.teach_policies()
    of_network.teach_tags()
    application = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    server = make_server(
        "127.0.0.1",
        0,
        heard.Listening(application, args.heard),
        threaded=True,
        request_handler=werkzeug_app.MotoRequestHandler,
    )
    address = f"http://127.0.0.1:{server.server_port}"
    os.environ["KENNEL_REHEARSAL_AWS"] = address
    threading.Thread(target=_with_stdin, daemon=True).start()
    types = {"ours": sorted(kinds.every_kind()), "moto": sorted(parsing.get_model_map())}
    print(json.dumps({"address": address, **types}), flush=True)
    server.serve_forever()


def _with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
