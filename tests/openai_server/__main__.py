"""Run the server by itself: `python -m tests.openai_server --port 8099`. It says its address on one line."""

from __future__ import annotations

import argparse
import sys

from tests.openai_server.server import API_KEY, OpenAIServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--api-key", default=API_KEY, help="an empty one lets everybody in")
    parser.add_argument("--requests-per-minute", type=float)
    parser.add_argument("--tokens-per-minute", type=float)
    parser.add_argument("--burst-seconds", type=float, default=60.0)
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    options = vars(parser.parse_args())
    server = OpenAIServer(**{**options, "api_key": options["api_key"] or None})
    sys.stdout.write(f"{server.base_url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
