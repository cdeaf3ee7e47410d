//! Lists of projects that are searched, put in an order and cut into numbered pages.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use slipway_domain::{ProjectId, UserId, Visibility};

use crate::engine::connection::Conn;
use crate::engine::time::from_ms;
use crate::error::StoreError;
use crate::projects::queries as projects;
use crate::projects::row::{Project, lower, read};
use crate::schema::{builds, namespaces, projects as table};

/// Which projects are wanted, by what ties a user to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// All there are.
    All,
    /// Those that the user is a member of, or may see as every user does.
    Seen(UserId),
    /// Those that the user is a member of, directly or by their namespace.
    Member(UserId),
    /// Those that the user is an owner of, directly or by their namespace.
    Owner(UserId),
}

/// What a list is put in order by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The time of making, which is the order of ids.
    #[default]
    Made,
    /// The name, without regard to case.
    Name,
    /// The time of the last build, or of making where there is none.
    Activity,
}

/// What a list of projects has in it.
#[derive(Clone, Debug)]
pub struct Search {
    /// Whose.
    pub tie: Tie,
    /// A part of the name, without regard to case.
    pub text: Option<String>,
    /// Who sees them.
    pub visibility: Option<Visibility>,
    /// What they are put in order by.
    pub order: Order,
    /// Whether the least comes first.
    pub ascending: bool,
    /// How many come before those that are wanted.
    pub offset: i64,
    /// How many are wanted at the most.
    pub limit: i64,
}

const ACTIVITY: &str = "COALESCE((SELECT MAX(b.created_at) FROM builds b \
                        WHERE b.project_id = projects.id), projects.created_at)";

/// The projects that are searched for, and how many there are on all pages.
pub fn search(conn: &mut Conn, wanted: &Search) -> Result<(Vec<Project>, i64), StoreError> {
    // A query is used up when it is run: one counts, the other reads.
    macro_rules! filtered {
        ($query:expr) => {{
            let mut query = $query.into_boxed::<<Conn as diesel::Connection>::Backend>();
            query = match wanted.tie {
                Tie::All => query,
                Tie::Seen(user) => query.filter(
                    table::visibility
                        .ne(Visibility::Private.as_str())
                        .or(projects::belongs_to(user, "")),
                ),
                Tie::Member(user) => query.filter(projects::belongs_to(user, "")),
                Tie::Owner(user) => query.filter(projects::is_owned_by(user)),
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
        (Order::Made, true) => query.order(table::id.asc()),
        (Order::Made, false) => query.order(table::id.desc()),
        (Order::Name, true) => query.order((lower(table::name).asc(), table::id.asc())),
        (Order::Name, false) => query.order((lower(table::name).desc(), table::id.desc())),
        (Order::Activity, true) => query.order((sql::<BigInt>(ACTIVITY).asc(), table::id.asc())),
        (Order::Activity, false) => query.order((sql::<BigInt>(ACTIVITY).desc(), table::id.desc())),
    };
    let rows = query.offset(wanted.offset).limit(wanted.limit).load(conn)?;
    let found: Result<Vec<Project>, StoreError> = rows.into_iter().map(read).collect();
    Ok((found?, total))
}

/// When the last build of a project was asked for.
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

/// What contains `text` as it is, without regard to case.
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
    fn what_is_searched_for_is_taken_as_it_is() {
        assert_eq!(pattern("Api"), "%api%");
        assert_eq!(pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
