//! The toll of requests: how fast one may ask by HTTP, in what requests cost.
//!
//! A request costs 1, and 1 more for each [`PIECE`] of its answer. Whoever answers for it pays. Where no token is asked for, or none is
//! shown, that is the network that it came from, which the door lets pay. Behind a gate it is the owner of the token at that network: the
//! route lets them pay once the gate has said who they are ([`Sender::pay`](crate::Sender::pay)).
//!
//! What is known only afterwards is owed, and waited for before the next request: the length of an answer, by whoever has paid, and a request that is
//! refused before or by the gate, by its network. A token that is forged costs as much as the keys that it was tried with. A network that owes
//! something is refused at the door, before its tokens are read.
//!
//! A trusted proxy that does not name its client pays nothing, because everybody may be behind it. The health of the node can always
//! be asked for.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::HttpBody;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use onmic_media::name::Principal;
use onmic_media::{DropReason, Rates, TooFast};

use crate::cost::Cost;

/// So many bytes of an answer cost as much as a request does: 50 µs, in which TLS encrypts them.
const PIECE: u64 = 64 << 10;

/// The addresses at which the health of the node is asked for.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// The beginnings of addresses behind which a gate is asked, whose answer says who pays.
const GATED: [&str; 5] = ["/hls/", "/flv/", "/whip/", "/whep/", "/api/v1/rooms"];

/// The toll of one request. It is cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Toll {
    rates: Arc<Rates>,
    /// `None` if the request came from a proxy that does not name its client.
    network: Option<Principal>,
    payer: Arc<OnceLock<Principal>>,
}

impl Toll {
    /// Begins with a request of `network`, which pays at once unless a gate will say who pays.
    pub(crate) fn begin(
        rates: &Arc<Rates>,
        network: Option<Principal>,
        (method, path, shows_token): (&Method, &str, bool),
        now: Instant,
    ) -> Result<Self, TooFast> {
        let toll = Self { rates: rates.clone(), network, payer: Arc::default() };
        let Some(network) = toll.network.as_ref().filter(|_| !HEALTH.contains(&path)) else { return Ok(toll) };
        // What comes before a page's real request asks no gate.
        let is_gated = shows_token && *method != Method::OPTIONS && GATED.iter().any(|gated| path.starts_with(gated));
        if is_gated {
            rates.must_owe_nothing(network, now).inspect_err(|_| DropReason::TooFast.count(1))?;
        } else {
            toll.pay(network.clone(), 1.0, now)?;
        }
        Ok(toll)
    }

    /// Lets `who` pay for the request.
    pub(crate) fn pay(&self, who: Principal, cost: f64, now: Instant) -> Result<(), TooFast> {
        self.rates.take(&who, cost, now).inspect_err(|_| DropReason::TooFast.count(1))?;
        let _ = self.payer.set(who); // The first one pays for the answer.
        Ok(())
    }

    /// Notes what the answer costs.
    pub(crate) fn end(&self, answer: &Response, now: Instant) {
        if let Some(payer) = self.payer.get() {
            let pieces = answer.body().size_hint().exact().unwrap_or_default() / PIECE;
            if pieces > 0 {
                self.rates.owe(payer, pieces as f64, now);
            }
        } else if let Some(network) = &self.network
            && answer.status().is_client_error()
            && answer.status() != StatusCode::TOO_MANY_REQUESTS
        {
            let cost = answer.extensions().get().map_or(1, |Cost(cost)| *cost);
            self.rates.owe(network, cost as f64, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::{ConnectInfo, Request};
    use axum::http::header;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use onmic_media::gate::Refusal;
    use onmic_media::{Denial, Pace};
    use tower::ServiceExt;

    use super::*;
    use crate::client::Network;
    use crate::door::{self, Door};
    use crate::{BasePath, Problem, Sender};

    const HOME: &str = "203.0.113.7";
    const OTHER: &str = "203.0.113.8";
    const PROXY: &str = "127.0.0.1";

    /// Returns routes of which one asks no gate, and those below `/hls` do. Each principal may ask ten times, and never again.
    fn routes() -> Router {
        let good = async |sender: Sender| {
            let who = sender.token.as_deref().map(|token| Principal::Token(token.into()));
            sender.pay(sender.payer(who.as_ref()), 1.0).map_err(Problem::from)
        };
        let routes = Router::new()
            .route("/", get(|| async {}))
            .route("/large", get(|| async { Bytes::from(vec![0; 4 * PIECE as usize]) }))
            .route("/healthz", get(|| async {}))
            .route("/hls/good", get(good))
            .route("/hls/costly", get(async |sender: Sender| sender.pay(sender.counted(), 10.0).map_err(Problem::from)))
            .route("/hls/other", get(|| async { Problem::from(Refusal::NotAllowed("it is for another room".into())) }))
            .route("/hls/forged", get(|| async { Problem::from(Refusal::Forged(5)) }));
        let rates = Rates::new(Some(Pace { each_second: 1e-6, burst: 10.0 }));
        let proxies = Network::LOOPBACK.to_vec();
        let door = Door::new(proxies, false, BasePath::default(), Vec::new()).with_rates(rates);
        Router::new().fallback_service(routes).layer(from_fn_with_state(door, door::enter))
    }

    async fn ask(routes: &Router, from: &str, path: &str) -> Response {
        let request = Request::builder().method(Method::GET).uri(path);
        let request = request.extension(ConnectInfo(SocketAddr::new(from.parse().unwrap(), 1)));
        routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Returns how many of twenty requests are not refused as too fast.
    async fn passed(routes: &Router, from: &str, path: &str) -> usize {
        let mut passed = 0;
        for _ in 0..20 {
            passed += usize::from(ask(routes, from, path).await.status() != StatusCode::TOO_MANY_REQUESTS);
        }
        passed
    }

    #[tokio::test]
    async fn a_network_that_asks_too_fast_is_told_so_and_no_other_one() {
        let routes = routes();
        assert_eq!(passed(&routes, HOME, "/").await, 10);
        assert_eq!(passed(&routes, HOME, "/hls/good").await, 0, "without a token its network asks");
        assert_eq!(passed(&routes, HOME, "/?token=anna").await, 0, "nobody reads a token there");
        assert_eq!(passed(&routes, OTHER, "/").await, 10);
        assert_eq!(passed(&routes, PROXY, "/").await, 20, "everybody may be behind it");
        assert_eq!(passed(&routes, HOME, "/healthz").await, 20);
        let refused = ask(&routes, HOME, "/").await;
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1000000");
        assert_eq!(refused.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "pages can read it");
        assert_eq!(refused.extensions().get(), Some(&Denial::TooFast));
    }

    #[tokio::test]
    async fn the_owner_of_a_good_token_pays_and_not_the_network() {
        let routes = routes();
        assert_eq!(passed(&routes, HOME, "/hls/good?token=anna").await, 10);
        assert_eq!(passed(&routes, OTHER, "/hls/good?token=anna").await, 10, "an audience may share a token");
        assert_eq!(passed(&routes, HOME, "/hls/good?token=anna").await, 0);
        assert_eq!(passed(&routes, HOME, "/hls/good?token=ben").await, 10);
        assert_eq!(passed(&routes, HOME, "/hls/good").await, 10, "each request is counted once");
    }

    #[tokio::test]
    async fn what_the_gate_refuses_is_owed_by_the_network_and_a_forged_token_costs_as_many_keys() {
        let refused = [
            ("/hls/other?token=x", 11),
            ("/hls/forged?token=x", 3),
            ("/hls/nothing?token=x", 11),
            ("/hls/a/b/c/d?token=x", 11),
        ];
        for (path, passes) in refused {
            let routes = routes();
            assert_eq!(passed(&routes, HOME, path).await, passes, "{path}");
            assert_eq!(passed(&routes, HOME, "/hls/good?token=anna").await, 0, "its tokens are not read any more");
            assert_eq!(passed(&routes, OTHER, "/hls/good?token=anna").await, 10);
        }
    }

    #[tokio::test]
    async fn the_bytes_of_an_answer_are_owed() {
        let routes = routes();
        assert_eq!(passed(&routes, HOME, "/large").await, 2, "each costs five");
        assert_eq!(passed(&routes, OTHER, "/hls/costly").await, 1);
    }
}
