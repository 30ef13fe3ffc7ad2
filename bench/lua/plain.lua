-- wrk's own request, which is as short as one can be.
require "report"
