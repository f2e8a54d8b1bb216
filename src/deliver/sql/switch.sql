-- Enables or disables an endpoint; a running deliverer sees it by the version.
INSERT INTO delivery_endpoints (endpoint, state, reason, at, version)
SELECT {endpoint:String}, {state:String}, {reason:String}, now64(3, 'UTC'), max(version) + 1
FROM delivery_endpoints WHERE endpoint = {endpoint:String}
