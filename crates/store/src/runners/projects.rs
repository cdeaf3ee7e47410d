//! Which projects a runner serves that is not shared.

use std::collections::BTreeSet;

use diesel::prelude::*;
use slipway_domain::{ProjectId, RunnerId};

use crate::engine::connection::Conn;
use crate::error::StoreError;
use crate::schema::runner_projects;

/// The projects that a runner serves.
pub(super) fn projects_of(
    conn: &mut Conn,
    id: RunnerId,
) -> Result<BTreeSet<ProjectId>, StoreError> {
    let ids: Vec<i64> = runner_projects::table
        .filter(runner_projects::runner_id.eq(id.0))
        .select(runner_projects::project_id)
        .load(conn)?;
    Ok(ids.into_iter().map(ProjectId).collect())
}

/// Sets which projects a runner serves.
pub(super) fn set_projects(
    conn: &mut Conn,
    id: RunnerId,
    projects: &BTreeSet<ProjectId>,
) -> Result<(), StoreError> {
    diesel::delete(runner_projects::table.filter(runner_projects::runner_id.eq(id.0)))
        .execute(conn)?;
    for project in projects {
        diesel::insert_into(runner_projects::table)
            .values((
                runner_projects::runner_id.eq(id.0),
                runner_projects::project_id.eq(project.0),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// The runners that serve a project and are not shared.
pub fn bound_to(conn: &mut Conn, project: ProjectId) -> Result<Vec<RunnerId>, StoreError> {
    let ids: Vec<i64> = runner_projects::table
        .filter(runner_projects::project_id.eq(project.0))
        .select(runner_projects::runner_id)
        .load(conn)?;
    Ok(ids.into_iter().map(RunnerId).collect())
}
