"""The web chat in a real browser: ask, read the answer, open a source; on a desk and on a phone."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import chromium

ASK = """
(async question => {
  document.getElementById("question").value = question;
  document.getElementById("form").requestSubmit();
  const done = () => document.querySelector("article:last-of-type")?.dataset.done;
  while (!done()) await new Promise(go => setTimeout(go, 20));
  return document.querySelector("article:last-of-type").innerText;
})(%r)
"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    chromium.path()
    import uvicorn

    sys.path.insert(0, str(root / "examples"))
    try:
        from chat.rag import SAMPLE, confident_rag, indexed
        from chat_web import application
    finally:
        sys.path.remove(str(root / "examples"))
    with indexed(SAMPLE) as collection:
        app = application(confident_rag(collection))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)], ids=["desk", "phone"])
def test_ask_read_the_answer_and_open_a_source(address: str, width: int, dark: bool, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("OCTANT_PICTURES", tmp_path))
    with chromium.page(tmp_path / "profile") as page:
        page.visit(address, width, dark=dark)
        told = page.run(ASK % "How long does a dog watch last?")
        assert "the two dog watches between 16:00 and 20:00 last two hours each" in told
        assert "confidence 0.9" in told
        assert "not calibrated" in told
        assert "[1] watches.md" in told
        assert page.run("document.querySelector('details.source').open") is False
        box = page.run(
            "(b => [b.x + 20, b.y + b.height / 2])(document.querySelector('summary').getBoundingClientRect())"
        )
        if width < 600:
            page.tap(*box)
        else:
            page.mouse("mousePressed", *box)
            page.mouse("mouseReleased", *box)
        assert page.run("document.querySelector('details.source').open") is True
        assert "barometer" in page.run("document.querySelector('details.source p').innerText")
        assert "reranked" in page.run("document.querySelector('.scores').innerText")
        page.picture(pictures / f"chat-{width}-answer.png")
        told = page.run(ASK % "Who won the cup final?")
        assert "The documents do not say." in told
        assert "not answered: confidence" in told
        assert page.run("document.querySelector('article:last-of-type').classList.contains('abstained')")
        assert page.run(WIDE) <= 0
        page.picture(pictures / f"chat-{width}-abstained.png")
        assert page.problems == []


def test_what_a_question_holds_never_becomes_markup_and_a_mistake_is_told(address: str, tmp_path: Path) -> None:
    with chromium.page(tmp_path / "profile") as page:
        page.visit(address, 800)
        told = page.run(ASK % "<img src=x onerror=document.title='caught'> dog watch?")
        assert "<img src=x" in told
        assert page.run("document.title") == "Ask the documents"
        assert page.run("document.querySelectorAll('article img').length") == 0
        answer = "fetch('/ask', {method: 'POST', body: '%s'}).then(r => r.json().then(j => [r.status, j.error]))"
        assert page.run(answer % '{"question": " "}')[0] == 400
        assert "expected a question" in page.run(answer % '{"question": " "}')[1]
        assert page.run(answer % "no json")[0] == 400
