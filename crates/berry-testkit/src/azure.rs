//! Azure's surfaces of OpenAI's protocol: the dated one and the one of version `v1`.

use bytes::Bytes;
use http::StatusCode;

use crate::openai::{self, ApiError};
use crate::protocol::Answered;
use crate::reply::Arrival;

/// What precedes a stream's chunks: the filter's report, without choices.
const FILTER: &[u8] = b"data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
    \"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{\"hate\":{\"filtered\":false,\
    \"severity\":\"safe\"}}}]}\n\n";

/// What comes among a stream's chunks where the filter works behind them: its report, with a choice
/// that says nothing.
const LATE_FILTER: &[u8] = b"data: {\"choices\":[{\"content_filter_offsets\":{\"check_offset\":0,\"end_offset\":9,\
    \"start_offset\":0},\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"}},\
    \"finish_reason\":null,\"index\":0}],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\"}\n\n";

/// Answers a request, if its address is one of Azure's.
pub(crate) fn answer(arrival: Arrival<'_>, pieces: Option<usize>) -> Result<Answered, ApiError> {
    let (path, query) = arrival
        .request
        .path_and_query
        .split_once('?')
        .unwrap_or((&arrival.request.path_and_query, ""));
    let undated = path.starts_with("/openai/v1/");
    let dated = path.starts_with("/openai/") && query.contains("api-version=");
    if !undated && !dated {
        return Err(ApiError::of(StatusCode::NOT_FOUND, Some("404")));
    }
    Ok(match openai::answer(arrival, pieces)? {
        Answered::Events(mut events) if path.ends_with("/chat/completions") => {
            events.insert(2, Bytes::from_static(LATE_FILTER));
            events.insert(0, Bytes::from_static(FILTER));
            Answered::Events(events)
        }
        answered => answered,
    })
}
