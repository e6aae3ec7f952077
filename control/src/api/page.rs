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

/// The most entries of a page. So many people are rendered in a few hundred microseconds.
const LIMIT: usize = 500;

/// The part of a list that is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The id after which the page begins: the `next` of the page before.
    after: Option<String>,
    /// The most entries of the page: 1 to 500, which it is without this parameter.
    #[param(minimum = 1, maximum = 500)]
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
    /// Returns the part of the list to look up: one entry more than the page has, which shows whether anybody follows.
    pub fn part(&self) -> Part<'_> {
        Part { after: self.after.as_ref(), limit: self.limit + 1 }
    }

    /// Cuts the part that was looked up to the page. Returns where the next page begins, if anybody follows.
    pub fn cut<T>(&self, part: &mut Vec<T>, id: impl FnOnce(&T) -> &str) -> Option<String> {
        if part.len() <= self.limit {
            return None;
        }
        part.truncate(self.limit);
        part.last().map(|last| id(last).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::IntoParams;

    use super::*;

    #[test]
    fn the_document_states_the_limit_of_a_page() {
        let parameters = serde_json::to_value(PageQuery::into_params(|| None)).unwrap();
        let schema = &parameters[1]["schema"];
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(LIMIT)), "{parameters}");
    }
}
