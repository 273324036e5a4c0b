"""A small web chat over a folder of documents: sources, scores, which embedding answered and why, and abstention.

    python examples/chat_web.py                                     then open http://127.0.0.1:8000
    python examples/chat_web.py ~/notes --model openai:gpt-5-mini   any provider of init_chat_model

Without --model an extractive answerer quotes the sentence that fits best. Without a terminal it answers one question
and ends, unless --serve is given. Needs the extras [demo] and [chat].
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from chat.rag import EMBEDDINGS, SAMPLE, confident_rag, indexed, why
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from octant.errors import OctantError
from octant_langchain import ConfidentRAG

PAGE = Path(__file__).parent / "chat" / "page.html"


async def answered(rag: ConfidentRAG, question: str) -> dict[str, Any]:
    """What the page shows."""
    found = await rag.ainvoke(question)
    decision, held = found["decision"], found["abstention"]
    return {
        "answer": found["answer"],
        "abstained": held is not None,
        "withheld": held.withheld if held is not None else "",
        "why": why(found),
        "confidence": decision.confidence,
        "chosen": EMBEDDINGS.get(decision.chosen, decision.chosen),
        "answers": [
            {"name": EMBEDDINGS[one.name], "text": one.text or one.failure, "chosen": one.name == decision.chosen}
            for one in found["answers"]
        ],
        "sources": [
            {"id": one.id, "text": one.page_content, "before": one.metadata["before"], "after": one.metadata["after"]}
            for one in found["documents"]
        ],
        "cost": decision.cost,
    }


def application(rag: ConfidentRAG) -> Starlette:
    """The page, and what it asks."""

    async def page(_: Request) -> Response:
        return FileResponse(PAGE)

    async def ask(request: Request) -> Response:
        try:
            return JSONResponse(await answered(rag, str((await request.json())["question"])))
        except (OctantError, KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return Starlette(routes=[Route("/", page), Route("/ask", ask, methods=["POST"])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", help="e.g. openai:gpt-5-mini, ollama:qwen3")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--serve", action="store_true", help="serve without a terminal too")
    given = parser.parse_args()
    with indexed(given.folder) as collection:
        rag = confident_rag(collection, given.model)
        if given.serve or sys.stdin.isatty():
            uvicorn.run(application(rag), host="127.0.0.1", port=given.port, log_level="warning")
        else:
            print(json.dumps(asyncio.run(answered(rag, "How long does a dog watch last?")), indent=1))


if __name__ == "__main__":
    main()
