//! `GET /admin/rate-limit-usage`: what a user has sent, beside what they may.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::gateway::Gateway;
use crate::query::Parameters;
use crate::routes::moment::Moment;

/// The route's handler. A user is named by an id, never by a token.
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    query: Parameters,
) -> Result<Json<Value>, ApiError> {
    let [user_id] = query.named(["user_id"])?;
    let user_id = user_id.ok_or_else(|| ApiError::missing_query("user_id"))?;
    let user_id = user_id.into_value();
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
