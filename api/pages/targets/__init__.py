"""The pages of plans and figures (指标): the matrix, plans, returns, and the minutes ledger."""
