//! The OpenAPI document, generated from the routes and their types.

use axum::Json;
use utoipa::OpenApi;

use super::{rooms, server};

#[derive(OpenApi)]
#[openapi(
    info(title = "onmic", description = "Control API of the onmic live streaming gateway."),
    paths(rooms::list, rooms::one, server::show),
    components(schemas(rooms::Rooms, rooms::Room, server::Server))
)]
struct Document;

pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
