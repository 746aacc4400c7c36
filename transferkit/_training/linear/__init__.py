"""Penalised linear classification: softmax and logistic regression by preconditioned L-BFGS.

One problem is min loss(X W + b) + ||W||^2 / (2 C). Problems that share the features X (folds, labels, values of C) are
solved together, as tensors (n_variables, n_problems, n_outputs). A fit is

    problem = design.make_problem(loss, C, offset)     # of a Design(X, row_weights, ...)
    solution = minimise(problem, problem.zeros(), tol=tol)
    coef, intercept = problem.weights(solution.u)

matrices          X on a device, centred: dense, sparse or in blocks; the kernel matrix X X.T, never formed; and few
                  rows in a basis of their span
losses            softmax and logistic loss of scores, their gradients ("residuals") and curvatures
preconditioning   linear maps u -> W, one for each C. `EigenMap` whitens: the Hessian is at most the identity
                  (Böhning 1992). It is for dense X, and for few sparse columns; few rows are described in a basis of
                  their span, and of very many columns only the diagonal is used (Jacobi). `RowMap` has one variable
                  per row, for sparse X with more columns than rows; `ConcatenatedMap` joins both for mixed blocks
problem           `Decomposition`: eigenvectors of the Gram matrix of X, or the largest eigenvalue of its kernel matrix,
                  from which preconditioners are made; `Design`: features with block scales and prior (the scores of
                  which are the offset), and their decomposition; `LinearProblem`: its objective in u
lbfgs             line search, stopping rule on the optimality gap, batches of problems, and the inverse Hessian from
                  the last steps, in compact form
logistic          one model; for small penalties and outliers with the Hessian at a point that L-BFGS has reached.
                  A single small problem on the CPU starts, and mostly ends, in `_algorithms.linear.logistic_regression`
search            many values of C and all folds
"""
