//! The whole system: the gateway on a real socket, between real clients and simulated providers.
//!
//! What is tested here is what a user of the gateway can see. How a part comes to its decision is
//! tested beside it.

/// Clients that leave cancel the upstream, and blame nobody.
#[cfg(test)]
mod abort;
/// Balancing as operators see it, and who is an operator.
#[cfg(test)]
mod admin;
/// Repeated requests prefer the backend that served them before.
#[cfg(test)]
mod affinity;
/// Who did what, for auditors.
#[cfg(test)]
mod audit;
/// Who is let in, and what the others are told.
#[cfg(test)]
mod auth;
/// The `backend` member, tags, and who is told which backend answered.
#[cfg(test)]
mod backend;
/// Bodies and keys in the log, for operators who have asked for them.
#[cfg(test)]
mod body_log;
/// Secrets and prompts, sought in everything that is written and answered.
#[cfg(test)]
mod canary;
/// Whole answers, and what crosses the gateway with them.
#[cfg(test)]
mod chat;
/// Collectors of traces that are slow, broken, encrypted or not there.
#[cfg(test)]
mod collector;
/// The real binary: where its configuration comes from, and what it says of it.
#[cfg(test)]
mod config;
/// Connections to upstreams: reuse, TLS, HTTP versions, proxies.
#[cfg(test)]
mod connections;
/// Requests that are refused, and the one shape of all errors.
#[cfg(test)]
mod errors;
/// Requests and answers that are broken at random.
#[cfg(test)]
mod fuzz;
/// What is known of providers and models, for people and for load balancers.
#[cfg(test)]
mod health;
/// Probes: what they ask, and what changes by the answer.
#[cfg(test)]
mod health_check;
/// Answers that are none, and what becomes of them.
#[cfg(test)]
mod honesty;
/// What a client may do to HTTP.
#[cfg(test)]
mod hostile_client;
/// What an upstream may do to HTTP/2.
#[cfg(test)]
mod hostile_http2;
/// What may be wrong with an upstream's TLS.
#[cfg(test)]
mod hostile_tls;
/// What an upstream may do to HTTP.
#[cfg(test)]
mod hostile_upstream;
/// What clients write that is meant to be read as something else.
#[cfg(test)]
mod injection;
/// A slow provider costs the others nothing, a slow client little memory.
#[cfg(test)]
mod isolation;
/// What a silent stream is told, and what may still happen then.
#[cfg(test)]
mod keep_alive;
/// What was used, and what it cost.
#[cfg(test)]
mod ledger;
/// What recorded answers cost.
#[cfg(test)]
mod ledger_cost;
/// What answers cost whose end nobody counted.
#[cfg(test)]
mod ledger_cut;
/// What a client may cost: bytes, time, connections.
#[cfg(test)]
mod limits;
/// Many requests at once, with and without broken backends.
#[cfg(test)]
mod loadbalance;
/// What the real binary logs, and what it never does.
#[cfg(test)]
mod log;
/// Where lines go, and what is found there.
#[cfg(test)]
mod log_output;
/// Totals, and the same for status pages.
#[cfg(test)]
mod metrics;
/// The list of models.
#[cfg(test)]
mod models;
/// Everything that can be asked of a model besides chats.
#[cfg(test)]
mod operations;
/// More than the process can do.
#[cfg(test)]
mod overload;
/// The real binary while it runs: environment, limits, signals.
#[cfg(test)]
mod process;
/// What Prometheus reads.
#[cfg(test)]
mod prometheus;
/// HTTP as clients speak it: versions, methods, CORS, pipelining.
#[cfg(test)]
mod protocol;
/// Providers that do not speak OpenAI, and Azure, which nearly does.
#[cfg(test)]
mod providers;
/// How much a user may send, and what is said about it.
#[cfg(test)]
mod rate_limit;
/// What is the client's fault, and nobody's failure.
#[cfg(test)]
mod refusal;
/// A configuration that changes while requests are served.
#[cfg(test)]
mod reload;
/// Stored responses, and who may ask for them.
#[cfg(test)]
mod responses;
/// Failures before content, which no client sees.
#[cfg(test)]
mod retry;
/// One settlement of a request, whoever is asked.
#[cfg(test)]
mod settlement;
/// How requests share connections of HTTP/2.
#[cfg(test)]
mod sharing;
/// How a gateway stops.
#[cfg(test)]
mod shutdown;
/// What `smart_ai` has learned.
#[cfg(test)]
mod smart_ai;
/// Streams of events: byte for byte, and how they break.
#[cfg(test)]
mod stream;
/// What a service manager sees, and hands over.
#[cfg(test)]
mod supervisor;
/// What the tests are written with.
#[cfg(test)]
mod support;
/// TLS for clients: protocols, renewal, and files that cannot be used.
#[cfg(test)]
mod tls;
/// What a collector of traces gets.
#[cfg(test)]
mod traces;
/// Requests whose bodies are still being sent.
#[cfg(test)]
mod uploads;
/// What answers cost, whoever counted it.
#[cfg(test)]
mod usage;
/// Ways to get in without leave, all of them closed.
#[cfg(test)]
mod ways_in;
