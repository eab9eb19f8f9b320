//! The labels of requests: each from a fixed table, so that no client can add a series.

use http::Method;

/// The methods that have a label of their own.
pub(crate) const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", OTHER];

/// What a route answers: a bit for the place of each method.
type Answers = u8;
const GET: Answers = 0b11;
const POST: Answers = 0b100;
const DELETE: Answers = 0b1000;

/// Every route, sorted by its bytes, with the methods it has.
const PATHS: &[(&str, Answers)] = &[
    ("/", GET),
    ("/admin/backend-health", GET),
    ("/admin/model-weights", GET),
    ("/admin/rate-limit-usage", GET),
    ("/admin/reload-config", POST),
    ("/admin/system-stats", GET),
    ("/admin/usage", GET),
    ("/health", GET),
    ("/health/live", GET),
    ("/health/ready", GET),
    ("/metrics", GET),
    ("/models", GET),
    ("/monitoring", GET),
    ("/monitoring/health", GET),
    ("/monitoring/info", GET),
    ("/monitoring/model-weights", GET),
    ("/monitoring/performance", GET),
    ("/prometheus", GET),
    ("/smart-ai/models/{model}/weights", GET),
    ("/smart-ai/weights", GET),
    ("/v1/audio/speech", POST),
    ("/v1/audio/transcriptions", POST),
    ("/v1/audio/translations", POST),
    ("/v1/chat/completions", POST),
    ("/v1/completions", POST),
    ("/v1/embeddings", POST),
    ("/v1/health", GET),
    ("/v1/images/edits", POST),
    ("/v1/images/generations", POST),
    ("/v1/models", GET),
    ("/v1/models/{id}", GET),
    ("/v1/moderations", POST),
    ("/v1/rerank", POST),
    ("/v1/responses", POST),
    ("/v1/responses/{id}", GET | DELETE),
    ("/v1/responses/{id}/cancel", POST),
    ("/v1/responses/{id}/input_items", GET),
    (OTHER, Answers::MAX),
];

/// What is in no table.
const OTHER: &str = "other";

/// A route and a method, as metrics show them: places in [`PATHS`] and [`METHODS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    path: usize,
    method: usize,
}

impl Place {
    /// How many there are.
    pub(crate) const COUNT: usize = PATHS.len() * METHODS.len();

    /// Returns the place of a request. A method that the route does not have is another path's: what
    /// nobody serves makes no series for each route.
    pub(crate) fn of(path: &str, method: &Method) -> Self {
        let known = METHODS.iter().position(|known| method.as_str() == *known);
        let method = known.unwrap_or(METHODS.len() - 1);
        let label = match path {
            path if path.contains(['{', '}']) => OTHER,
            path if path.starts_with("/v1/responses/") => match path.rsplit('/').next() {
                Some("cancel") => "/v1/responses/{id}/cancel",
                Some("input_items") => "/v1/responses/{id}/input_items",
                _ => "/v1/responses/{id}",
            },
            path if path.starts_with("/v1/models/") => "/v1/models/{id}",
            path if path.starts_with("/smart-ai/models/") => "/smart-ai/models/{model}/weights",
            path => path,
        };
        let found = PATHS.binary_search_by_key(&label, |(path, _)| path).ok();
        let served = found.filter(|place| PATHS[*place].1 >> method & 1 == 1);
        let path = served.unwrap_or(PATHS.len() - 1);
        Self { path, method }
    }

    /// Returns the number of the place among all.
    pub(crate) fn index(self) -> usize {
        self.path * METHODS.len() + self.method
    }

    /// Returns every place, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let methods = |path| (0..METHODS.len()).map(move |method| Self { path, method });
        (0..PATHS.len()).flat_map(methods)
    }

    /// Returns the label of its path.
    pub(crate) fn path(self) -> &'static str {
        PATHS[self.path].0
    }

    /// Returns the label of its method.
    pub(crate) fn method(self) -> &'static str {
        METHODS[self.method]
    }
}

/// The statuses that have a label of their own, and the classes of the others. An upstream may
/// invent any.
pub(crate) const STATUSES: [&str; 26] = [
    "200", "201", "202", "204", "400", "401", "403", "404", "405", "408", "409", "413", "415",
    "422", "429", "499", "500", "501", "502", "503", "504", "1xx", "2xx", "3xx", "4xx", "5xx",
];

/// Returns the place of a status's label.
pub(crate) fn status(status: u16) -> usize {
    let place = PLACES.get(usize::from(status));
    place.copied().unwrap_or(STATUSES.len() - 1)
}

/// The places by status: each request is looked up, which takes a fifth of a search.
static PLACES: [usize; 600] = {
    const CODES: [usize; 21] = [
        200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 499, 500, 501,
        502, 503, 504,
    ];
    let mut places = [CODES.len(); 600];
    let mut status = 100;
    while status < places.len() {
        places[status] = CODES.len() + status / 100 - 1;
        status += 1;
    }
    let mut place = 0;
    while place < CODES.len() {
        places[CODES[place]] = place;
        place += 1;
    }
    places
};

/// What nginx answers, to nobody, when the client has left.
pub(crate) const CLIENT_LEFT: u16 = 499;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_in_order() {
        assert!(PATHS[..PATHS.len() - 1].is_sorted_by_key(|(path, _)| path));
        assert_eq!(PATHS.last().unwrap().0, OTHER);
    }

    #[test]
    fn a_path_has_the_label_of_its_route() {
        for (path, label) in [
            ("/", "/"),
            ("/v1/models", "/v1/models"),
            ("/v1/models/a/b", "/v1/models/{id}"),
            ("/v1/responses/r1", "/v1/responses/{id}"),
            (
                "/v1/responses/r1/input_items",
                "/v1/responses/{id}/input_items",
            ),
            (
                "/smart-ai/models/x/weights",
                "/smart-ai/models/{model}/weights",
            ),
            ("/v1/models/{id}", OTHER),
            ("/v1/nothing", OTHER),
            ("other", OTHER),
            ("", OTHER),
        ] {
            let place = Place::of(path, &Method::GET);
            assert_eq!((place.path(), place.method()), (label, "GET"), "{path}");
        }
    }

    #[test]
    fn every_route_has_a_label_for_the_methods_that_it_has() {
        let mut labels = vec![OTHER];
        for (allow, path) in crate::router::routes() {
            let path = path.replace("{*path}", "x/weights").replace("{*id}", "x");
            let path = path.replace("{id}", "x");
            for method in METHODS {
                let place = Place::of(&path, &Method::from_bytes(method.as_bytes()).unwrap());
                let is_served = allow.split(", ").any(|allowed| allowed == method);
                assert_eq!(place.path() != OTHER, is_served, "{method} {path}");
                assert_eq!(place.method(), method);
                labels.push(place.path());
            }
        }
        for (path, _) in PATHS {
            assert!(labels.contains(path), "{path} is no route");
        }
    }

    #[test]
    fn a_status_has_its_own_label_or_that_of_its_class() {
        for (code, label) in [
            (200, "200"),
            (504, "504"),
            (206, "2xx"),
            (302, "3xx"),
            (418, "4xx"),
            (599, "5xx"),
            (100, "1xx"),
            (999, "5xx"),
        ] {
            assert_eq!(STATUSES[status(code)], label, "{code}");
        }
        for label in STATUSES {
            let code = label.replace("xx", "98").parse().unwrap();
            assert_eq!(STATUSES[status(code)], label);
        }
    }

    #[test]
    fn a_method_that_nobody_knows_is_another() {
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(Place::of("/", &odd).method(), OTHER);
    }

    #[test]
    fn every_place_has_its_number() {
        let numbers: Vec<_> = Place::all().map(Place::index).collect();
        let expected: Vec<_> = (0..Place::COUNT).collect();
        assert_eq!(numbers, expected);
    }
}
