-- A body of 1 MB with each request.
require "report"

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", 1000000)
