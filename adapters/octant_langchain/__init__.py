"""Octant collections as LangChain vector stores and retrievers."""

from octant_langchain.retriever import OctantRetriever
from octant_langchain.settings import RetrievalMode
from octant_langchain.vectorstore import OctantVectorStore

__all__ = ["OctantRetriever", "OctantVectorStore", "RetrievalMode"]
