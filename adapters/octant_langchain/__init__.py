"""Octant collections as LangChain vector stores, retrievers and rerankers."""

from octant_langchain.confident_rag import ConfidentRAG
from octant_langchain.extractive import ExtractiveChatModel
from octant_langchain.reranker import OctantReranker
from octant_langchain.retriever import OctantRetriever
from octant_langchain.settings import RetrievalMode
from octant_langchain.tool import Retrieved, create_retriever_tool
from octant_langchain.vectorstore import OctantVectorStore

__all__ = [
    "ConfidentRAG",
    "ExtractiveChatModel",
    "OctantReranker",
    "OctantRetriever",
    "OctantVectorStore",
    "RetrievalMode",
    "Retrieved",
    "create_retriever_tool",
]
