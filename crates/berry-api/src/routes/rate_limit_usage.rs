//! `GET /admin/rate-limit-usage`: what a user has sent, beside what they may.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::routes::moment::Moment;

/// Whose usage is asked for: an id, never a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    user_id: Option<String>,
}

/// The route's handler.
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(Asked { user_id }) = query.map_err(|_| ApiError::invalid_query())?;
    let user_id = user_id.ok_or_else(|| ApiError::missing_query("user_id"))?;
    let snapshot = gateway.snapshot();
    let mut users = snapshot.config.users.iter();
    let user = users.find(|user| user.id.as_str() == user_id);
    let found = user.and_then(|user| Some((user, snapshot.meters.get(&user.id)?)));
    let (user, meter) = found.ok_or_else(ApiError::user_not_found)?;
    let moment = Moment::of(gateway.clock);
    let (counted, limits) = (meter.counted(moment.now), &user.rate_limit);
    Ok(Json(json!({
        "user_id": user.id.as_str(),
        "usage": {
            "requests_this_minute": counted.requests_this_minute,
            "requests_this_hour": counted.requests_this_hour,
            "requests_this_day": counted.requests_this_day,
            "tokens_this_minute": counted.tokens_this_minute,
            "concurrent_requests": counted.concurrent_requests,
        },
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "requests_per_hour": limits.requests_per_hour,
            "requests_per_day": limits.requests_per_day,
            "tokens_per_minute": limits.tokens_per_minute,
            "max_concurrent_requests": limits.max_concurrent_requests,
        },
        "timestamp": moment.timestamp(),
    })))
}
