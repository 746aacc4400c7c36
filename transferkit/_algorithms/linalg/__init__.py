"""Linear algebra on dense and sparse matrices, in NumPy and SciPy.

- `moments`: mean and variance of columns, dense or sparse; and, for domain adaptation, shrunk covariances (Ledoit-Wolf)
  in the span of the rows, and powers of symmetric matrices.
- `krylov`: Krylov spaces of symmetric matrices, block by block (block Lanczos).
- `decompositions`: in these spaces, leading right singular vectors of sparse rows, also from statistics of shards, for
  LSA; and leading eigenvectors of a sparse symmetric matrix, for word vectors. Rows of unit length, the sign rule of
  eigenvectors, orthonormal columns (QR).
- `conjugate_gradients`: symmetric positive definite systems that are too large to factorise, such as those of
  ridge regression on sparse rows.
- `threads`: how many threads BLAS uses for matrices of medium size; products slice by slice, the same on any number of
  threads.

Vectors are columns, samples are rows. `matmul` is X @ V and `rmatmul` is X.T @ V. Sums that lose digits in float32 are
accumulated in float64.
"""
