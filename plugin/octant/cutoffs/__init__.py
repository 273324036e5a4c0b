"""Where relevance ends: a search's scores as probabilities of relevance, and the score below which to leave out.

A small network reads the query's vector and gives a monotone map from score to probability. One global probability
decides; since the map is monotone, it is inverted, and Qdrant itself leaves out what scores less
(the cosine adapter, 2408.04887).
"""
