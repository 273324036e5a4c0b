"""An agent that retrieves when it needs to, and whose tool brings along how sure the passages are.

    python examples/agent.py                                             no key: a model that only quotes
    python examples/agent.py --model openai:gpt-5-mini "Who ...?"        any provider of init_chat_model

Needs the extras [demo] and [chat], and for --model the provider's package.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from chat.rag import SAMPLE, confident_rag, indexed
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from octant_langchain import create_retriever_tool

QUESTIONS = ("Which instrument has an arc of 45 degrees?", "How many pounds did parliament offer?")


class SearchesThenQuotes(BaseChatModel):
    """Stands in for an agent's model: it calls its tool once, and gives the answer that the tool found."""

    tools: Sequence[Any] = ()

    @property
    def _llm_type(self) -> str:
        return "searches-then-quotes"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, Any]:
        return SearchesThenQuotes(tools=list(tools))

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            quoted = str(last.content).partition("Answer: ")[2].partition("\n")[0]
            message = AIMessage(quoted or "The documents do not say.")
        else:
            asked = next(one for one in reversed(messages) if isinstance(one, HumanMessage)).text
            message = AIMessage("", tool_calls=[{"name": self.tools[0].name, "args": {"query": asked}, "id": "1"}])
        return ChatResult(generations=[ChatGeneration(message=message)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--model", help="e.g. openai:gpt-5-mini, anthropic:claude-sonnet-4-5")
    given = parser.parse_args()
    with indexed(SAMPLE) as collection:
        about = "Search a ship's handbook: instruments, navigation, watches, coffee."
        search = create_retriever_tool(confident_rag(collection), "search_handbook", about)
        # create_agent takes the name of any provider's model, as init_chat_model does.
        told = "Answer from the handbook, and say where it does not say."
        agent = create_agent(given.model or SearchesThenQuotes(), [search], system_prompt=told)
        for question in given.questions:
            print(f"> {question}")
            for message in agent.invoke({"messages": [HumanMessage(question)]})["messages"]:
                if isinstance(message, ToolMessage) and message.artifact is not None:
                    decision = message.artifact.decision
                    passages, sure = len(message.artifact.documents), f"confidence {decision.confidence:.2f}"
                    print(f"  {message.name}: {passages} passages, chosen {decision.chosen}, {sure}")
                elif isinstance(message, AIMessage) and message.text:
                    print(message.text)
            print()


if __name__ == "__main__":
    main()
