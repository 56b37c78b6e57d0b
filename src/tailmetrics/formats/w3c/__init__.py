"""W3C's extended log format and what IIS and CloudFront make of it: `#Fields` names the columns behind it."""
