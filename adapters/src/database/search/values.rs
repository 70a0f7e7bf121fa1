//! The values of a statement in the making: they never become part of its text.

use sqlx::{Any, AssertSqlSafe, Encode, FromRow, Type, any::AnyArguments, any::AnyRow, query::QueryAs};

use super::super::DatabaseError;

#[derive(Default)]
pub(super) struct Values(AnyArguments);

impl Values {
    /// Placeholder of a value.
    pub(super) fn bind<'v>(&mut self, value: impl Encode<'v, Any> + Type<Any>) -> Result<String, DatabaseError> {
        use sqlx::Arguments as _;
        self.0.add(value).map_err(sqlx::Error::Encode)?;
        Ok(format!("${}", self.0.len()))
    }

    /// The statement with its values.
    pub(super) fn into_query<T: for<'r> FromRow<'r, AnyRow>>(
        self,
        sql: String,
    ) -> QueryAs<'static, Any, T, AnyArguments> {
        sqlx::query_as_with(AssertSqlSafe(sql), self.0)
    }
}
