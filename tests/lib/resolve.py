"""A template as CloudFormation sees it once its parameters have values: conditions are decided, and what they leave out is gone.

Physical names are made up, but so that they can be told apart; what refers to a resource that is not made is an error, as it is there.
"""
import itertools
import random
import re

PSEUDO = {"AWS::Region": "eu-west-1", "AWS::AccountId": "1" * 12, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
          "AWS::StackName": "qdrant"}
IDS = {"AWS::EFS::FileSystem": "fs", "AWS::EFS::AccessPoint": "fsap", "AWS::EFS::MountTarget": "fsmt", "AWS::EC2::SecurityGroup": "sg"}
ABSENT = object()


class Dangling(Exception):
    pass


def constraint(parameter, value):
    """What CloudFormation says of a value, or None."""
    p, value = parameter, str(value)
    if p.get("AllowedValues") and value not in map(str, p["AllowedValues"]):
        return f"is not one of {p['AllowedValues']}"
    if not re.fullmatch(p.get("AllowedPattern", ".*"), value, re.S):
        return f"does not match {p['AllowedPattern']}"
    if p["Type"] == "Number" and not (re.fullmatch(r"-?\d+(\.\d+)?", value) and
                                      float(p.get("MinValue", "-inf")) <= float(value) <= float(p.get("MaxValue", "inf"))):
        return "is no number, too small or too large"
    if not int(p.get("MinLength", 0)) <= len(value) <= int(p.get("MaxLength", 4096)):
        return "is too short or too long"
    if p["Type"].startswith("AWS::EC2::") and not value:
        return "does not exist"
    return None


class Resolved:
    def __init__(self, body, **given):
        self.body, known = body, body["Parameters"]
        assert set(given) <= set(known), set(given) - set(known)
        self.parameters = {n: str(given.get(n, p.get("Default", ""))) for n, p in known.items()}
        self.conditions = {}
        self.made = {n for n, r in body["Resources"].items() if self.holds(r.get("Condition"))}

    def refused(self):
        """What CloudFormation says of the parameters, before it makes anything."""
        said = [f"{n} {why}" for n, p in self.body["Parameters"].items() if (why := constraint(p, self.parameters[n]))]
        asserted = [a for r in self.body.get("Rules", {}).values() for a in r["Assertions"]]
        return said + [a["AssertDescription"] for a in asserted if not self.decide(a["Assert"])]

    def holds(self, condition):
        if condition is None:
            return True
        if condition not in self.conditions:
            self.conditions[condition] = self.decide(self.body["Conditions"][condition])
        return self.conditions[condition]

    def decide(self, c):
        (function, operands), = c.items()
        if function == "Condition":
            return self.holds(operands)
        if function == "Fn::Equals":
            one, other = (self.value(o) for o in operands)
            return str(one) == str(other)
        said = [self.decide(o) for o in operands]
        return {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda s: not s[0]}[function](said)

    def name(self, resource):
        kind = self.body["Resources"][resource]["Type"]
        if kind == "AWS::ECS::Service":
            return f"arn:aws:ecs:eu-west-1:{'1' * 12}:service/{self.value(self.properties(resource)['Cluster'])}/{resource}"
        return f"{IDS.get(kind, 'id')}-{resource}"

    def properties(self, resource):
        return self.body["Resources"][resource].get("Properties", {})

    def refer(self, name, attribute=None):
        if name in self.parameters:
            return self.parameters[name]
        if name == "AWS::NoValue":
            return ABSENT
        if name in PSEUDO:
            return PSEUDO[name]
        if name not in self.made:
            raise Dangling(name)
        return self.name(name) if attribute is None else f"arn:{self.name(name)}" if attribute == "Arn" else f"{name}.{attribute}"

    def value(self, v):
        if isinstance(v, list):
            return [r for item in v if (r := self.value(item)) is not ABSENT]
        if not isinstance(v, dict):
            return v
        if len(v) == 1 and (function := next(iter(v))) in ("Ref", "Fn::If", "Fn::GetAtt", "Fn::Sub", "Fn::Join", "Fn::Select", "Fn::Split"):
            return getattr(self, function.rpartition(":")[2].lower())(v[function])
        return {k: r for k, item in v.items() if (r := self.value(item)) is not ABSENT}

    def ref(self, name):
        return self.refer(name)

    def getatt(self, names):
        return self.refer(*(names.split(".", 1) if isinstance(names, str) else names))

    def sub(self, given):
        text, own = given if isinstance(given, list) else (given, {})
        own = self.value(own)
        return re.sub(r"\$\{([^}]+)\}", lambda m: str(own[m[1]] if m[1] in own else self.refer(*m[1].split(".", 1))), text)

    def join(self, given):
        return given[0].join(self.value(given[1]))

    def select(self, given):
        return self.value(given[1])[int(given[0])]

    def split(self, given):
        return self.value(given[1]).split(given[0])

    def resources(self):
        """{name: (type, properties)} of what is made; Dangling where one needs what is not."""
        for name in self.made:
            after = self.body["Resources"][name].get("DependsOn", [])
            if missing := set([after] if isinstance(after, str) else after) - self.made:
                raise Dangling(f"{name} depends on {missing}")
        return {n: (self.body["Resources"][n]["Type"], self.value(self.properties(n))) for n in self.made}

    def outputs(self):
        return {n: self.value(o["Value"]) for n, o in self.body["Outputs"].items() if self.holds(o.get("Condition"))}

    def if_(self, given):
        return self.value(given[1 if self.holds(given[0]) else 2])


setattr(Resolved, "if", Resolved.if_)


def combinations(body, levels, count, seed=1):
    """So many stacks that CloudFormation would begin to make, each parameter of `levels` at one of its levels, by chance. Every pair of
    levels is among them, but for those that the rules refuse."""
    chance, found, pairs = random.Random(seed), [], set()
    while len(found) < count:
        given = {n: chance.choice(values) for n, values in levels.items()}
        stack = Resolved(body, **given)
        if not stack.refused():
            found.append(stack)
            pairs |= set(itertools.combinations(sorted(given.items()), 2))
    wanted = {p for one, other in itertools.combinations(sorted(levels), 2)
              for p in itertools.product(((one, v) for v in levels[one]), ((other, v) for v in levels[other]))}
    return found, wanted - pairs
