//! Lists that may be long are answered in pages. A page is small enough to be rendered where it is asked for, and the locks
//! that it needs are held for it alone, so nobody waits for a room of 10,000 people.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use onmic_http::Problem;
use onmic_room::PersonId;

use super::Api;
use super::commands::id;
use super::problem::unprocessable;
use crate::rooms::Part;
use crate::rooms::refusal::Denied;

/// The most entries of a page. So many people are rendered in a few hundred microseconds.
const LIMIT: usize = 500;

/// The part of a list that is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The id after which the page begins: the `next` of the page before.
    after: Option<String>,
    /// The most entries of the page: 1 to 500, which it is without this parameter.
    limit: Option<usize>,
}

/// A page of a list that is sorted by the ids of people.
#[derive(Debug)]
pub struct Page {
    after: Option<PersonId>,
    limit: usize,
}

impl FromRequestParts<Api> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Query(PageQuery { after, limit }) = Query::from_request_parts(parts, api).await.map_err(|rejection| {
            unprocessable(format!("The query cannot be understood: {}.", rejection.body_text()))
        })?;
        let limit = limit.unwrap_or(LIMIT);
        if limit == 0 || limit > LIMIT {
            return Err(unprocessable(format!("A page has 1 to {LIMIT} entries. Ask for the next page by after.")));
        }
        Ok(Self { after: after.as_deref().map(id).transpose()?, limit })
    }
}

impl Page {
    /// Returns the entries of the page.
    pub fn of<T>(&self, list: impl FnOnce(Part<'_>) -> Result<Vec<T>, Denied>) -> Result<Vec<T>, Denied> {
        list(Part { after: self.after.as_ref(), limit: self.limit })
    }

    /// Returns where the next page begins after these entries. A full page may be the last one; then the next one is empty.
    pub fn next<T>(&self, entries: &[T], id: impl FnOnce(&T) -> &str) -> Option<String> {
        entries.last().filter(|_| entries.len() == self.limit).map(|last| id(last).to_owned())
    }
}
