"""Octant collections as LangChain vector stores, retrievers and rerankers."""

from octant_langchain.reranker import OctantReranker
from octant_langchain.retriever import OctantRetriever
from octant_langchain.settings import RetrievalMode
from octant_langchain.vectorstore import OctantVectorStore

__all__ = ["OctantReranker", "OctantRetriever", "OctantVectorStore", "RetrievalMode"]
