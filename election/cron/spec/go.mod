module github.com/leaderkit/leaderkit/election/cron/spec

go 1.25.0

require (
	github.com/leaderkit/leaderkit v0.0.0
	github.com/robfig/cron/v3 v3.0.1
)

require (
	github.com/aws/aws-sdk-go v1.55.8 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
)

replace github.com/leaderkit/leaderkit => ../../..
