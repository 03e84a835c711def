//! STS: who is calling, and temporary credentials.

mod identity;
mod sessions;

use strata_platform::access::AccessError;
use strata_wire::Fault;

use crate::operation::Operations;

pub fn operations() -> Operations {
    let own = "make temporary credentials with AssumeRole, from a key of this cloud";
    Operations::new("sts")
        .partial(
            "AssumeRole",
            "Every valid key may assume every role of the account: trust policies are kept, not evaluated.",
            sessions::assume_role,
        )
        .refused("AssumeRoleWithSAML", own)
        .refused("AssumeRoleWithWebIdentity", own)
        .refused("AssumeRoot", own)
        .real("GetCallerIdentity", identity::get_caller_identity)
        .refused("GetFederationToken", own)
        .real("GetSessionToken", sessions::get_session_token)
}

fn fault(error: AccessError) -> Fault {
    match error {
        AccessError::NotAssumable { caller, role } => Fault::new(
            403,
            "AccessDenied",
            format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}"),
        ),
        AccessError::TooLong(..) => {
            invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        }
        AccessError::TooLongForChain(..) => invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ),
        AccessError::SessionFromSession => {
            Fault::new(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
        }
        error @ AccessError::TooManySessions(_) => Fault::new(400, "Throttling", error.to_string()),
        other => Fault::internal(other),
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationError", message)
}
