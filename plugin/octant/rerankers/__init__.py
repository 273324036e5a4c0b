"""Rerankers: ranking in, ranking out; :mod:`octant.registry` knows them by name."""

from octant.rerankers.base import Reranker
from octant.rerankers.exchange import Answer, Message, Prompt, Usage
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.token_logprobs import TokenLogprob

__all__ = ["Answer", "Message", "Order", "Prompt", "Reranker", "Run", "TokenLogprob", "Usage"]
