"""Linear algebra on dense and sparse matrices, in NumPy and SciPy.

- `normalisation`: rows of unit length, the sign rule of eigenvectors, orthonormal columns (QR).
- `moments`: mean and variance of columns, dense or sparse.
- `covariances`: shrunk covariances (Ledoit-Wolf) in the span of the rows, and powers of symmetric matrices. For domain
  adaptation.
- `truncated_svd`: leading right singular vectors of sparse rows by subspace iteration, also from statistics of shards.
  For LSA.
- `eigenvectors`: leading eigenvectors of a sparse symmetric matrix by block Lanczos. For word vectors.
- `conjugate_gradients`: symmetric positive definite systems that are too large to factorise.
- `sparse_products`: products slice by slice, the same on any number of threads. For the iterative methods above.
- `blas_threads`: how many threads BLAS uses for matrices of medium size.

Vectors are columns, samples are rows. `matmul` is X @ V and `rmatmul` is X.T @ V. Sums that lose digits in float32 are
accumulated in float64.
"""
