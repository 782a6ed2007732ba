//! What an API key is good for.

use std::fmt;

use crate::entity::Entity;

/// One right of an API key: to read, or to change, one kind of entity. To change includes to create and to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope {
    pub entity: Entity,
    pub access: Access,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    Write,
}

impl Scope {
    /// Every one there is.
    pub const ALL: [Scope; 6] = [
        Scope { entity: Entity::Queue, access: Access::Read },
        Scope { entity: Entity::Queue, access: Access::Write },
        Scope { entity: Entity::Message, access: Access::Read },
        Scope { entity: Entity::Message, access: Access::Write },
        Scope { entity: Entity::Cron, access: Access::Read },
        Scope { entity: Entity::Cron, access: Access::Write },
    ];

    /// As clients and the database name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.entity, self.access) {
            (Entity::Queue, Access::Read) => "queues:read",
            (Entity::Queue, Access::Write) => "queues:write",
            (Entity::Message, Access::Read) => "messages:read",
            (Entity::Message, Access::Write) => "messages:write",
            (Entity::Cron, Access::Read) => "crons:read",
            (Entity::Cron, Access::Write) => "crons:write",
        }
    }

    /// The inverse of [`Scope::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_found_by_its_name() {
        for entity in Entity::ALL {
            for access in [Access::Read, Access::Write] {
                let scope = Scope { entity, access };
                assert!(Scope::ALL.contains(&scope));
                assert_eq!(Scope::from_name(scope.name()), Some(scope));
                assert!(scope.name().starts_with(entity.plural()), "{scope}");
            }
        }
        assert_eq!(Scope::from_name("queues"), None);
    }
}
