-- Another path with each request, so that nothing can be remembered of its first line.
require "report"

local number = 0

request = function()
  number = number + 1
  return wrk.format("GET", "/articles/" .. number .. "?page=" .. number)
end
