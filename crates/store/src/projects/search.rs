//! Searchable, sorted lists of projects in numbered pages.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use slipway_domain::{ProjectId, UserId, Visibility};

use crate::engine::connection::Conn;
use crate::engine::page::rows;
use crate::engine::time::from_ms;
use crate::error::StoreError;
use crate::projects::queries as projects;
use crate::projects::row::{Project, lower, read};
use crate::schema::{builds, namespaces, projects as table};

/// Which projects to list, by their relation to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectRelation {
    All,
    /// Projects that the user is a member of, and those that every user may see.
    Visible(UserId),
    /// Projects that the user is a member of, directly or through the namespace.
    Member(UserId),
    /// Projects that the user is an owner of, directly or through the namespace.
    Owner(UserId),
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By creation time, which is the order of ids.
    #[default]
    Created,
    /// By name, ignoring case.
    Name,
    /// By the time of the last build, or of the project's creation if it has none.
    Activity,
}

/// Which projects to list, and in which order.
#[derive(Clone, Debug)]
pub struct Search {
    pub relation: ProjectRelation,
    /// A part of the name, ignoring case.
    pub text: Option<String>,
    pub visibility: Option<Visibility>,
    pub order: Order,
    pub ascending: bool,
    /// How many projects to skip.
    pub offset: i64,
    pub limit: i64,
}

const ACTIVITY: &str = "COALESCE((SELECT MAX(b.created_at) FROM builds b \
                        WHERE b.project_id = projects.id), projects.created_at)";

/// One page of the matching projects, and how many match in all.
pub fn search(conn: &mut Conn, wanted: &Search) -> Result<(Vec<Project>, i64), StoreError> {
    // Running a query consumes it, so one is built to count and another to read.
    macro_rules! filtered {
        ($query:expr) => {{
            let mut query = $query.into_boxed::<<Conn as diesel::Connection>::Backend>();
            query = match wanted.relation {
                ProjectRelation::All => query,
                ProjectRelation::Visible(user) => query.filter(
                    table::visibility
                        .ne(Visibility::Private.as_str())
                        .or(projects::belongs_to(user, "")),
                ),
                ProjectRelation::Member(user) => query.filter(projects::belongs_to(user, "")),
                ProjectRelation::Owner(user) => query.filter(projects::is_owned_by(user)),
            };
            if let Some(text) = &wanted.text {
                query = query.filter(lower(table::name).like(pattern(text)).escape('\\'));
            }
            if let Some(visibility) = wanted.visibility {
                query = query.filter(table::visibility.eq(visibility.as_str()));
            }
            query
        }};
    }
    let joined =
        table::table.inner_join(namespaces::table.on(namespaces::id.eq(table::namespace_id)));
    let total = filtered!(joined.select(diesel::dsl::count_star())).first(conn)?;
    let query = filtered!(joined.select((table::all_columns, namespaces::name)));
    let query = match (wanted.order, wanted.ascending) {
        (Order::Created, true) => query.order(table::id.asc()),
        (Order::Created, false) => query.order(table::id.desc()),
        (Order::Name, true) => query.order((lower(table::name).asc(), table::id.asc())),
        (Order::Name, false) => query.order((lower(table::name).desc(), table::id.desc())),
        (Order::Activity, true) => query.order((sql::<BigInt>(ACTIVITY).asc(), table::id.asc())),
        (Order::Activity, false) => query.order((sql::<BigInt>(ACTIVITY).desc(), table::id.desc())),
    };
    let rows = query
        .offset(wanted.offset)
        .limit(rows(wanted.limit))
        .load(conn)?;
    let found: Result<Vec<Project>, StoreError> = rows.into_iter().map(read).collect();
    Ok((found?, total))
}

/// When the last build of a project was created.
pub fn last_build_at(
    conn: &mut Conn,
    project: ProjectId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let at: Option<i64> = builds::table
        .filter(builds::project_id.eq(project.0))
        .select(diesel::dsl::max(builds::created_at))
        .first(conn)?;
    at.map(from_ms).transpose()
}

/// A `LIKE` pattern for names that contain `text` literally, ignoring case.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_text_is_escaped_in_the_pattern() {
        assert_eq!(pattern("Api"), "%api%");
        assert_eq!(pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
